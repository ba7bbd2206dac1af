import { render } from 'preact';
import { App } from './app';
import { takeToken } from './lib/client';
import { startStatusFeed } from './lib/status_feed';
import './styles.css';

takeToken();
startStatusFeed();
const place = document.getElementById('app');
if (place) render(<App />, place);
