# Stands in for the official caddy:2 where no registry is in reach: Debian's Caddy, started as the official image does.
ARG BASE
FROM ${BASE}
# The official image has the small wget and nc of busybox, and neither curl nor python.
RUN apt-get update && apt-get install -y --no-install-recommends busybox caddy && rm -rf /var/lib/apt/lists/* \
    && ln -s /bin/busybox /usr/local/bin/wget && ln -s /bin/busybox /usr/local/bin/nc \
    && rm -f /usr/bin/python3* /usr/bin/perl*
RUN mkdir -p /config /data && printf ':80 {\n\troot * /usr/share/caddy\n\tfile_server\n}\n' > /etc/caddy/Caddyfile
ENV CADDY_VERSION=v2.6.2 XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
EXPOSE 80 443 443/udp 2019
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
