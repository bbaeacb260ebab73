# Stands in for mitmproxy/mitmproxy:8.1.1: Debian's package of that release, since some of its dependencies have no
# ready-made Python package any more.
ARG BASE
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends mitmproxy && rm -rf /var/lib/apt/lists/*
COPY docker-entrypoint.sh /usr/local/bin/
RUN chmod +x /usr/local/bin/docker-entrypoint.sh
EXPOSE 8080 8081
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mitmproxy"]
