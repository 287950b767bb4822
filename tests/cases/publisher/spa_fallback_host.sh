#!/usr/bin/env bash
# A static host answers 200 and a page for what it does not have. `doctor URL` and `fetch` say so, at once: no 1,000
# requests, nothing about a backup.
. "$(dirname "$0")/../prelude.sh"

init
mkdir r
echo 1 >r/a
publish 1.0 r
cat >host.py <<'P'
import http.server, os
class H(http.server.SimpleHTTPRequestHandler):
    def send_head(self):
        if not os.path.isfile(self.translate_path(self.path)): self.path = "/index.html"
        return super().send_head()
os.chdir("repo"); open("index.html", "w").write("<!doctype html>")
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H); print(s.server_port, flush=True); s.serve_forever()
P
python3 host.py >port 2>requests &
PIDS=$!
for _ in $(seq 100); do
    [ -s port ] && break
    sleep 0.1
done
HOST=http://127.0.0.1:$(cat port)
told() {
    local code=$? asked
    asked=$(grep -c GET requests)
    [ "$asked" -gt 0 ] && [ "$asked" -lt 50 ] || fail "$1: $asked requests"
    [ $code != 0 ] && [ $code != 124 ] || fail "$1 says nothing: exit code $code"
    grep -qi backup out && fail "$1: $(cat out)"
    grep -q "$HOST" out || fail "$1 does not name the URL: $(cat out)"
    : >requests
}
timeout 100 patchtool doctor "$HOST" --root repo/metadata/1.root.json >out 2>&1
told doctor
timeout 100 patchtool fetch "$HOST" copy --root repo/metadata/1.root.json >out 2>&1
told fetch
