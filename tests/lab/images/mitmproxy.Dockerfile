# Stands in for the official mitmproxy/mitmproxy where no registry is in reach: the same release from Python's packages.
ARG BASE
FROM ${BASE}
ARG VERSION
COPY ca.crt /ca.crt
RUN python3 -m venv /opt/mitmproxy && PIP_CERT=/ca.crt /opt/mitmproxy/bin/pip install --no-cache-dir "mitmproxy==${VERSION}"
RUN ln -s /opt/mitmproxy/bin/mitmproxy /opt/mitmproxy/bin/mitmweb /opt/mitmproxy/bin/mitmdump /usr/local/bin/
COPY docker-entrypoint.sh /usr/local/bin/
RUN chmod +x /usr/local/bin/docker-entrypoint.sh && rm /ca.crt
EXPOSE 8080 8081
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mitmproxy"]
