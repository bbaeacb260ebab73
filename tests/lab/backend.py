"""The lab's backend: answers every request with the Host it saw. Arguments: address and port to listen on, and `tls`."""
import http.server
import ssl
import subprocess
import sys


class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"backend saw Host {self.headers.get('Host')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Echo)
if sys.argv[3:] == ["tls"]:
    # A certificate that nobody signed but itself.
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=backend -keyout /tmp/key.pem -out /tmp/cert.pem",
        shell=True, check=True, stderr=subprocess.DEVNULL,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tmp/cert.pem", "/tmp/key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
