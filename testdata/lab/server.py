"""The lab's servers: nginx, dnsmasq, sshd and iperf3, each with its own throw-away files.

The account that is guessed at exists only in the mount namespace of this sshd:
the machine's passwd, shadow, utmp and logs are never written.
Not here: who talks to them (`benign`, `attack`).
"""

import os
import random
import subprocess
import time

from topology import LAB, REFLECTIONS, REFLECTOR, SCRATCH, SERVER

ACCOUNT = "treeline-lab"
PASSWORD = "correct-horse-66"
ACCOUNT_ID = 64242

DOMAIN = "lab.test"
OBJECTS_COUNT = 24
DOWNLOADS_COUNT = 4
IPERF_PORTS = (5201, 5202)

LIMIT_S = 1800
READY_LIMIT_S = 10

NGINX = """\
daemon off;
user www-data;
worker_processes 1;
pid {scratch}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log {scratch}/nginx-access.log;
    client_body_temp_path {scratch}/nginx-body;
    proxy_temp_path {scratch}/nginx-proxy;
    fastcgi_temp_path {scratch}/nginx-fastcgi;
    uwsgi_temp_path {scratch}/nginx-uwsgi;
    scgi_temp_path {scratch}/nginx-scgi;
    default_type application/octet-stream;
    types {{ text/html html; }}
    keepalive_timeout 15s;
    client_header_timeout 20s;
    client_body_timeout 20s;
    server {{
        listen 80 default_server;
        listen [::]:80 default_server;
        listen 443 ssl http2 default_server;
        listen [::]:443 ssl http2 default_server;
        ssl_certificate {scratch}/tls.crt;
        ssl_certificate_key {scratch}/tls.key;
        root {scratch}/www;
        location /private/ {{
            auth_basic "lab";
            auth_basic_user_file {scratch}/htpasswd;
        }}
        # A body is read to its end only where it is handed on.
        location /upload/ {{
            client_max_body_size 8m;
            proxy_pass http://127.0.0.1:8081;
        }}
    }}
    server {{
        listen 127.0.0.1:8081;
        client_max_body_size 8m;
        location / {{ return 204; }}
    }}
}}
"""

DNSMASQ = """\
keep-in-foreground
user=nobody
group=nogroup
pid-file=
no-resolv
no-hosts
no-daemon
local=/{domain}/
host-record=www.{domain},files.{domain},{v4},{v6}
host-record=four.{domain},{v4}
host-record=six.{domain},{v6}
cname=home.{domain},www.{domain}
mx-host={domain},www.{domain},10
txt-record={domain},"v=spf1 -all"
"""

SSHD = """\
ListenAddress {v4}
ListenAddress {v6}
HostKey {scratch}/ssh_host_key
PidFile none
UsePAM no
# hydra 9.4 waits for ever once its connection has been refused too many guesses.
MaxAuthTries 30
PasswordAuthentication yes
PermitRootLogin no
AllowUsers {account}
AuthorizedKeysFile {scratch}/ssh_user_key.pub
StrictModes no
PrintMotd no
PrintLastLog no
UseDNS no
Subsystem sftp internal-sftp
"""

SSH = """\
Host *
    User {account}
    UserKnownHostsFile /dev/null
    StrictHostKeyChecking no
    LogLevel ERROR
    ConnectTimeout 5
"""

# sshd with its own accounts, and empty /run and /var/log so that a login leaves no trace.
SSHD_START = """\
mount --bind "$0/passwd" /etc/passwd
mount --bind "$0/shadow" /etc/shadow
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mkdir -m 755 /run/sshd
exec /usr/sbin/sshd -D -f "$0/sshd_config" -E "$0/sshd.log"
"""


# An FTP server that knows the account. It reads the password from a file, so that no process list shows it. What may follow the address: its
# greeting, how it refuses, after how many guesses it hangs up, and how long it waits before it says no.
FTPD = """\
import sys
from pathlib import Path
from pyftpdlib.authorizers import AuthenticationFailed, DummyAuthorizer
from pyftpdlib.handlers import ActiveDTP, FTPHandler
from pyftpdlib.servers import FTPServer
account, password, folder = Path(sys.argv[1]).read_text().split()
greeting, refusal, tries, wait_s = sys.argv[3:] or ("pyftpdlib ready.", "Authentication failed.", 3, 1)
class Authorizer(DummyAuthorizer):
    def validate_authentication(self, *arguments):
        try:
            super().validate_authentication(*arguments)
        except AuthenticationFailed:
            raise AuthenticationFailed(refusal)
authorizer = Authorizer()
authorizer.add_user(account, password, folder)
class Active(ActiveDTP):
    def connect_af_unspecified(self, addr, source_address=None):
        return super().connect_af_unspecified(addr, (source_address[0], 20))
class Handler(FTPHandler):
    active_dtp = Active
Handler.authorizer = authorizer
Handler.banner, Handler.max_login_attempts, Handler.auth_failed_timeout = greeting, int(tries), float(wait_s)
FTPServer((sys.argv[2], 21), Handler).serve_forever()
"""


def start_everyday(answers="large"):
    """The further servers of the training captures: FTP, the protocols of `talk`, and reflectors with such answers."""
    (SCRATCH / "ftp-account").write_text(f"{ACCOUNT} {PASSWORD} {SCRATCH}/www\n")
    (SCRATCH / "ftpd.py").write_text(FTPD)
    for address in (SERVER.v4, SERVER.v6):
        SERVER.start(["/usr/bin/python3", SCRATCH / "ftpd.py", SCRATCH / "ftp-account", address], LIMIT_S, "ftpd.log")
    SERVER.start(["/usr/bin/python3", LAB / "talk.py", "serve"], LIMIT_S, "talk.log")
    REFLECTOR.start(["/usr/bin/python3", LAB / "reflector.py", answers, *REFLECTIONS], LIMIT_S, "reflector.log")
    _wait_until_listening({21, 25, 8000})


def start(rng: random.Random):
    """Write the servers' files, start them, and return when all of them listen."""
    names = dict(scratch=SCRATCH, domain=DOMAIN, v4=SERVER.v4, v6=SERVER.v6, account=ACCOUNT)
    for name, text in (("nginx.conf", NGINX), ("dnsmasq.conf", DNSMASQ),
                       ("sshd_config", SSHD), ("ssh_config", SSH)):
        (SCRATCH / name).write_text(text.format(**names))
    _write_site(rng)
    _write_keys()
    _write_account()

    SERVER.start(["nginx", "-e", SCRATCH / "nginx-error.log", "-c", SCRATCH / "nginx.conf"],
                 LIMIT_S, "nginx.log")
    SERVER.start(["dnsmasq", f"--conf-file={SCRATCH}/dnsmasq.conf"], LIMIT_S, "dnsmasq.log")
    SERVER.start(["sh", "-ec", SSHD_START, SCRATCH], LIMIT_S, "sshd-start.log")
    for port in IPERF_PORTS:
        SERVER.start(["iperf3", "-s", "-p", port], LIMIT_S, "iperf3.log")
    _wait_until_listening({22, 53, 80, 443, *IPERF_PORTS})


def _write_site(rng):
    www = SCRATCH / "www"
    for folder in ("object", "download", "private"):
        (www / folder).mkdir(parents=True)
    links = "".join(f'<img src="/object/{n}">\n' for n in range(OBJECTS_COUNT))
    (www / "index.html").write_text(f"<html><body>\n{links}</body></html>\n")
    (www / "private" / "index.html").write_text("<html><body>private</body></html>\n")
    for n in range(OBJECTS_COUNT):
        size_bytes = int(min(40_000, 300 + rng.expovariate(1 / 6_000)))
        (www / "object" / str(n)).write_bytes(rng.randbytes(size_bytes))
    for n in range(DOWNLOADS_COUNT):
        (www / "download" / str(n)).write_bytes(rng.randbytes(150_000 * (n + 1)))
    (SCRATCH / "document").write_bytes(rng.randbytes(60_000))


def _write_keys():
    _tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
          "-nodes", "-days", "2", "-subj", f"/CN=www.{DOMAIN}",
          "-keyout", SCRATCH / "tls.key", "-out", SCRATCH / "tls.crt")
    for key in ("ssh_host_key", "ssh_user_key"):
        _tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", ACCOUNT, "-f", SCRATCH / key)


def _write_account():
    home = SCRATCH / "home"
    home.mkdir(mode=0o755)
    os.chown(home, ACCOUNT_ID, ACCOUNT_ID)
    entry = f"{ACCOUNT}:x:{ACCOUNT_ID}:{ACCOUNT_ID}::{home}:/bin/bash\n"
    with open("/etc/passwd") as passwd:
        (SCRATCH / "passwd").write_text(passwd.read() + entry)
    # Only the throw-away account has a password here; the machine's hashes stay where they are.
    shadow = SCRATCH / "shadow"
    shadow.touch(mode=0o600)
    secret = _tool("openssl", "passwd", "-6", PASSWORD)
    shadow.write_text(f"{ACCOUNT}:{secret}:19000:0:99999:7:::\n")
    web = f"{ACCOUNT}:{_tool('openssl', 'passwd', '-apr1', PASSWORD)}\n"
    (SCRATCH / "htpasswd").write_text(web)


def _wait_until_listening(ports):
    deadline = time.monotonic() + READY_LIMIT_S
    missing = ports
    while time.monotonic() < deadline:
        sockets = _tool("ip", "netns", "exec", SERVER.namespace, "ss", "-Hltn")
        missing = ports - {int(line.split()[3].rpartition(":")[2])
                           for line in sockets.splitlines()}
        if not missing:
            return
        time.sleep(0.1)
    logs = "".join(f"\n--- {log.name}\n{log.read_text(errors='replace')[-800:]}"
                   for log in sorted(SCRATCH.glob("*.log")))
    raise RuntimeError(f"no server came up on port {sorted(missing)} in {READY_LIMIT_S} s{logs}")


def _tool(*argv):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.stderr.strip()}")
    return done.stdout.strip()
