# shellcheck shell=bash
# The versions of everything that the local stack downloads. Debian's packages follow the distribution.
KAFKA_VERSION=4.4.0            # org.apache.kafka:kafka_2.13 on Maven Central
LOG4J_VERSION=2.25.5           # the binding must fit the log4j-core that Kafka brings
MAVEN_DEPENDENCY_VERSION=3.8.1 # the plugin that copies the jars
CHDB_CORE_VERSION=26.9.0       # PyPI; the engine is ClickHouse 26.9
PRODUCERS_PYTHON=(             # PyPI, with all that they need; the npm packages are in producers/package-lock.json
    cloudevents==2.2.0 deprecation==2.1.0 packaging==26.3 python-dateutil==2.9.0.post0 six==1.17.0
    confluent-kafka==2.16.1 typing-extensions==4.15.0
)
