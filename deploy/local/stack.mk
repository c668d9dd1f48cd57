# The local servers, without Docker: deploy/local/README.md. Included by the top Makefile.

.PHONY: stack stack-down

stack: ## start Kafka, Redis and ClickHouse on this machine; returns when all three answer
	@deploy/local/stack up

stack-down: ## stop them; the data stays under .stack/
	@deploy/local/stack down
