#include "harness/kafka_cluster.h"

#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;

const std::string kKafka = PGWEIR_SOURCE "/.deps/kafka/";
// Any will do: the nodes of a cluster must have the same.
constexpr const char* kClusterId = "MkU3OEVBNTcwNTJENDM2Qk";
constexpr const char* kReadyLine = "Kafka Server started";
constexpr auto kReadyTimeout = 60s;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "harness: %s\n", what.c_str());
  std::abort();
}

// What costs the least until a short-lived JVM has done its work.
std::vector<std::string> java(const std::string& classes) {
  return {"java",
          "-Xmx256m",
          "-XX:+UseSerialGC",
          "-XX:TieredStopAtLevel=1",
          "-cp",
          kKafka + classes + "/*"};
}

std::string settings_text(const std::map<std::string, std::string>& settings) {
  std::string text;
  for (const auto& [name, value] : settings) text += fmt::format("{}={}\n", name, value);
  return text;
}

// What a cluster of tests differs in from one that serves: little memory, few threads and
// partitions of its own topics, and a broker that dies is noticed at once.
std::map<std::string, std::string> default_settings(int nodes) {
  const std::string copies = std::to_string(nodes);
  const std::string copies_min = nodes == 1 ? "1" : "2";
  return {{"process.roles", "broker,controller"},
          {"controller.listener.names", "CONTROLLER"},
          {"auto.create.topics.enable", "false"},
          {"default.replication.factor", copies},
          {"min.insync.replicas", copies_min},
          {"offsets.topic.replication.factor", copies},
          {"offsets.topic.num.partitions", "1"},
          {"transaction.state.log.replication.factor", copies},
          {"transaction.state.log.min.isr", copies_min},
          {"transaction.state.log.num.partitions", "3"},
          {"share.coordinator.state.topic.replication.factor", copies},
          {"share.coordinator.state.topic.min.isr", copies_min},
          {"group.initial.rebalance.delay.ms", "0"},
          {"broker.session.timeout.ms", "3000"},
          {"broker.heartbeat.interval.ms", "500"},
          {"num.network.threads", "2"},
          {"num.io.threads", "4"},
          {"background.threads", "2"},
          {"log.cleaner.dedupe.buffer.size", "4194304"}};
}

constexpr const char* kLogging = R"(status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c: %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.ready.name=kafka.server.KafkaRaftServer
logger.ready.level=info
)";

}  // namespace

std::string KafkaCluster::missing() {
  if (!std::filesystem::exists(kKafka + "broker/.pgweir-lock") ||
      !std::filesystem::exists(kKafka + "tools/.pgweir-lock"))
    return "Kafka is not installed: run tools/setup.sh test, or kafka";
  static const bool has_java = [] {
    const auto finished = io::run({.arguments = {"java", "-version"}}, 60s);
    return finished.ok() && finished->exit_code == 0;
  }();
  return has_java ? "" : "Java is not installed: run tools/setup.sh test, or kafka";
}

bool KafkaCluster::is_required() {
  const char* continuous = std::getenv("CI");
  return continuous != nullptr && *continuous != '\0';
}

KafkaCluster::KafkaCluster(KafkaOptions options) : options_(std::move(options)) {
  nodes_.resize(static_cast<std::size_t>(options_.nodes));
  std::string voters;
  for (int node = 1; node <= options_.nodes; ++node) {
    at(node).port = free_port();
    at(node).controller_port = free_port();
    if (options_.guard) at(node).guarded_port = free_port();
    voters +=
        fmt::format("{}{}@127.0.0.1:{}", node == 1 ? "" : ",", node, at(node).controller_port);
  }
  std::ofstream(scratch_.file("log4j2.properties")) << kLogging;
  for (int node = 1; node <= options_.nodes; ++node) configure(node, voters);
  format();
  for (int node = 1; node <= options_.nodes; ++node) launch(node);
  for (int node = 1; node <= options_.nodes; ++node) wait_ready(node);
}

KafkaCluster::~KafkaCluster() = default;

KafkaCluster::Node& KafkaCluster::at(int node) {
  return nodes_.at(static_cast<std::size_t>(node - 1));
}

std::string KafkaCluster::file(int node, const std::string& name) const {
  return scratch_.file(fmt::format("node{}.{}", node, name));
}

void KafkaCluster::configure(int node, const std::string& voters) {
  auto settings = default_settings(options_.nodes);
  settings["node.id"] = std::to_string(node);
  settings["controller.quorum.voters"] = voters;
  settings["listeners"] = fmt::format("PLAINTEXT://127.0.0.1:{},CONTROLLER://127.0.0.1:{}",
                                      at(node).port, at(node).controller_port);
  settings["log.dirs"] = file(node, "data");
  if (options_.guard) guard(node, settings);
  for (const auto& [name, value] : options_.settings) settings[name] = value;
  std::ofstream(file(node, "properties")) << settings_text(settings);
}

void KafkaCluster::guard(int node, std::map<std::string, std::string>& settings) {
  const KafkaGuard& guard = *options_.guard;
  // Kafka takes the key and its certificate from one file.
  std::ofstream(file(node, "keystore.pem"))
      << std::ifstream(guard.key_file).rdbuf() << std::ifstream(guard.certificate_file).rdbuf();
  settings["listeners"] += fmt::format(",GUARDED://127.0.0.1:{}", at(node).guarded_port);
  settings["listener.security.protocol.map"] =
      "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_SSL";
  settings["sasl.enabled.mechanisms"] = "PLAIN";
  const std::string name = "listener.name.guarded.";
  settings[name + "plain.sasl.jaas.config"] = fmt::format(
      "org.apache.kafka.common.security.plain.PlainLoginModule required user_{}=\"{}\";",
      guard.user, guard.password);
  settings[name + "ssl.client.auth"] = "required";
  settings[name + "ssl.keystore.type"] = "PEM";
  settings[name + "ssl.keystore.location"] = file(node, "keystore.pem");
  settings[name + "ssl.truststore.type"] = "PEM";
  settings[name + "ssl.truststore.location"] = guard.certificate_file;
}

void KafkaCluster::format() {
  // All at once: each is a JVM that takes a second to start.
  std::vector<io::Process> formats;
  for (int node = 1; node <= options_.nodes; ++node) {
    auto arguments = java("broker");
    for (const std::string& more :
         {std::string("kafka.tools.StorageTool"), std::string("format"), std::string("-t"),
          std::string(kClusterId), std::string("-c"), file(node, "properties")})
      arguments.push_back(more);
    auto process = io::Process::start({.arguments = arguments, .output = file(node, "log")});
    if (!process.ok()) die(process.error().text());
    formats.push_back(std::move(process).value());
  }
  for (int node = 1; node <= options_.nodes; ++node) {
    const auto code = formats[static_cast<std::size_t>(node - 1)].wait(kReadyTimeout);
    if (!code.ok() || *code != 0) die("kafka.tools.StorageTool: " + log(node));
  }
}

std::string KafkaCluster::bootstrap_servers() const {
  std::string servers;
  for (const Node& node : nodes_)
    servers += fmt::format("{}127.0.0.1:{}", servers.empty() ? "" : ",", node.port);
  return servers;
}

std::string KafkaCluster::guarded_servers() const {
  std::string servers;
  for (const Node& node : nodes_)
    servers += fmt::format("{}127.0.0.1:{}", servers.empty() ? "" : ",", node.guarded_port);
  return servers;
}

void KafkaCluster::kill(int node) {
  (void)at(node).process->signal(SIGKILL);
  if (!at(node).process->wait(30s).ok()) die("a killed broker lives on");
  at(node).process.reset();
}

void KafkaCluster::launch(int node) {
  at(node).log_bytes_before = log(node).size();
  auto arguments = java("broker");
  arguments.insert(arguments.begin() + 1,
                   "-Dlog4j2.configurationFile=" + scratch_.file("log4j2.properties"));
  arguments.push_back("kafka.Kafka");
  arguments.push_back(file(node, "properties"));
  auto process = io::Process::start(
      {.arguments = arguments, .directory = scratch_.path(), .output = file(node, "log")});
  if (!process.ok()) die(process.error().text());
  at(node).process = std::make_unique<io::Process>(std::move(process).value());
}

void KafkaCluster::wait_ready(int node) {
  const bool ready = wait_for(kReadyTimeout, [&] {
    if (at(node).process->poll()) die("the broker ended: " + log(node));
    return log(node).find(kReadyLine, at(node).log_bytes_before) != std::string::npos;
  });
  if (!ready) die("the broker was not ready in time: " + log(node));
}

void KafkaCluster::start(int node) {
  launch(node);
  wait_ready(node);
}

void KafkaCluster::pause(int node) {
  (void)at(node).process->signal(SIGSTOP);
}

void KafkaCluster::resume(int node) {
  (void)at(node).process->signal(SIGCONT);
}

bool KafkaCluster::is_running(int node) {
  return at(node).process && !at(node).process->poll();
}

std::string KafkaCluster::log(int node) const {
  std::ifstream stream(file(node, "log"));
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

io::Finished KafkaCluster::run_tool(std::vector<std::string> arguments) {
  auto command = java("tools");
  command.insert(command.end(), arguments.begin(), arguments.end());
  auto finished = io::run({.arguments = command}, 120s);
  if (!finished.ok()) die(finished.error().text());
  return std::move(finished).value();
}

KafkaCluster& shared_kafka() {
  // Destroyed at exit, which ends the broker.
  static KafkaCluster cluster;
  return cluster;
}

}  // namespace pgweir::harness
