# shellcheck shell=bash
# Apache Kafka, one KRaft node, straight from its jars. Sourced by ../stack.

KAFKA_PORT=${KAFKA_PORT:-19092}
KAFKA_CONTROLLER_PORT=${KAFKA_CONTROLLER_PORT:-19093}
KAFKA_HEAP=${KAFKA_HEAP:-768m}
KAFKA_CLUSTER_ID=dG9sbGdhdGUtbG9jYWwtMQ

kafka_port() { echo "$KAFKA_PORT"; }

kafka_libs() { echo "$STACK_DIR/kafka/libs-$KAFKA_VERSION"; }
kafka_stamp() { echo "$(kafka_libs)/.complete"; }

kafka_fetch() {
    [[ -f $(kafka_stamp) ]] || step "fetching Kafka $KAFKA_VERSION" kafka_copy_jars
}

kafka_copy_jars() {
    local libs
    libs=$(kafka_libs)
    rm -rf "$libs"
    mvn -q -B -f "$LOCAL_DIR/kafka/pom.xml" "-Dmaven.repo.local=$STACK_DIR/m2" \
        "-Dkafka.version=$KAFKA_VERSION" "-Dlog4j.version=$LOG4J_VERSION" \
        "org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_VERSION:copy-dependencies" \
        -DincludeScope=runtime "-DoutputDirectory=$libs"
    rm -rf "$STACK_DIR/m2" # the jars are copies
    touch "$libs/.complete"
}

kafka_start() {
    local properties=$STACK_DIR/kafka/server.properties
    kafka_fetch
    kafka_write_properties >"$properties"
    [[ -f $STACK_DIR/kafka/data/meta.properties ]] ||
        step "formatting Kafka's storage" kafka_format "$properties"
    start kafka java "-Xmx$KAFKA_HEAP" "-Xms256m" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -Djava.awt.headless=true \
        "-Dlog4j2.configurationFile=$LOCAL_DIR/kafka/log4j2.properties" \
        -cp "$(kafka_libs)/*" kafka.Kafka "$properties"
}

kafka_write_properties() {
    sed -e "s|@PORT@|$KAFKA_PORT|g" -e "s|@CONTROLLER_PORT@|$KAFKA_CONTROLLER_PORT|g" \
        -e "s|@DATA@|$STACK_DIR/kafka/data|g" "$LOCAL_DIR/kafka/server.properties"
}

kafka_format() {
    java -Xmx256m -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$LOCAL_DIR/kafka/log4j2.properties" \
        -cp "$(kafka_libs)/*" kafka.tools.StorageTool format --config "$1" --cluster-id "$KAFKA_CLUSTER_ID"
}

kafka_answers() {
    kafka_speaks && { ! is_ours kafka || kafka_serves_groups; }
}

# Each request has version 0 and correlation id 7; the answer is its length, the id and the error, 0 for none.
kafka_speaks() { # ApiVersions
    [[ $(ask "$KAFKA_PORT" '\0\0\0\012\0\022\0\0\0\0\0\007\377\377' 10) == *000000070000 ]]
}

# The first group makes Kafka create its topic of offsets. Asked here, or the first consumer would wait 3 s for it.
kafka_serves_groups() { # FindCoordinator, of the group "stack"
    [[ $(ask "$KAFKA_PORT" '\0\0\0\021\0\012\0\0\0\0\0\007\377\377\0\005stack' 10) == *000000070000 ]]
}
