"""Lets each client of the image list a bucket whose store gives two keys on a page. Prints one line for each client."""

import http.server
import json
import os
import subprocess
import threading
import urllib.parse


class Store(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        page = int(query.get("continuation-token", ["0"])[0])
        keys = "".join(f"<Contents><Key>k{2 * page + i}</Key><Size>1</Size></Contents>" for i in range(2))
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{page + 1}</NextContinuationToken>"
        more = more if page < 2 else "<IsTruncated>false</IsTruncated>"
        body = f"<ListBucketResult><Name>b</Name><MaxKeys>2</MaxKeys>{keys}{more}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("content-type", "application/xml")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-amz-request-id", f"page-{page}")
        self.end_headers()
        self.wfile.write(body)


store = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
threading.Thread(target=store.serve_forever, daemon=True).start()
endpoint = f"http://127.0.0.1:{store.server_port}"
access = {"endpoint": endpoint, "region": "us-east-1", "access_key": "a", "secret_key": "b", "session_token": None}
task = json.dumps({"s3": {"access": access, "operation": {"list": {"bucket": "b", "prefix": ""}}}})
env = dict(os.environ, AWS_EC2_METADATA_DISABLED="true")
for client in ["aws-cli", "aws-sdk-go-v2", "aws-sdk-java-v2", "aws-sdk-js-v3", "aws-sdk-rust", "boto3"]:
    done = subprocess.run(["/clients/" + client], input=task, capture_output=True, env=env, text=True, check=False)
    outcome = json.loads(done.stdout or "{}")
    # A request id, if the client reports one, is that of the last page.
    last = outcome.get("headers", {}).get("x-amz-request-id", "page-2")
    print(client, outcome.get("status"), last, *outcome.get("keys", []), outcome.get("failed", ""), done.stderr[-300:])
