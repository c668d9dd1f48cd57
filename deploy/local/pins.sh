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
SCHEMATHESIS=(                 # PyPI, with all that it needs
    anyio==4.16.0 certifi==2026.10.19.post1 charset-normalizer==3.5.2 click==8.5.1 graphql-core==3.3.2
    harfile==0.6.0 hypothesis==6.170.17 hypothesis-graphql==0.13.5 idna==3.20 iniconfig==2.3.1
    jsonschema_rs==0.60.3 markdown-it-py==4.3.0 MarkupSafe==3.0.4 mdurl==0.1.2 packaging==26.3 pluggy==1.7.0
    Pygments==2.21.0 pyrate-limiter==4.5.1 pytest==9.2.0 PyYAML==6.0.4 requests==2.34.2 rich==15.0.0
    schemathesis==4.32.5 sortedcontainers==2.4.0 typing_extensions==4.16.0 urllib3==2.8.0 Werkzeug==3.1.9
)
