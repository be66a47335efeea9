"""Further ssh and FTP servers at addresses of their own, and the clients that people log in with: each pair agrees on other algorithms, so its
handshake has other lengths, and a server says no in its own time.

Not here: who logs in when (`variety`), and the server of the other captures (`server`).
"""

from server import ACCOUNT, LIMIT_S, PASSWORD, SSHD, _tool
from topology import SCRATCH, SERVER, _ip

# Last part of the address: what its sshd offers. Widely seen: today's, a patient one, long-term releases of five and ten years ago, an appliance.
OFFERS = {
    11: "MaxAuthTries 6",
    12: "MaxAuthTries 3\nKexAlgorithms diffie-hellman-group-exchange-sha256,diffie-hellman-group14-sha256\nHostKeyAlgorithms rsa-sha2-512,ssh-rsa\n"
        "Ciphers aes256-ctr,aes128-ctr\nMACs hmac-sha2-256,hmac-sha1",
    13: "MaxAuthTries 6\nKexAlgorithms diffie-hellman-group-exchange-sha1,diffie-hellman-group14-sha1,diffie-hellman-group1-sha1\n"
        "HostKeyAlgorithms ssh-rsa\nCiphers aes128-ctr,aes128-cbc,3des-cbc\nMACs hmac-sha1,hmac-md5\nRequiredRSASize 1024",
    14: "MaxAuthTries 6\nKexAlgorithms ecdh-sha2-nistp256,ecdh-sha2-nistp384\nHostKeyAlgorithms ecdsa-sha2-nistp256\n"
        "Ciphers aes256-gcm@openssh.com,aes128-ctr\nBanner {scratch}/banner",
    15: "MaxAuthTries 4\nKexAlgorithms curve25519-sha256,diffie-hellman-group16-sha512,diffie-hellman-group14-sha1\nHostKeyAlgorithms rsa-sha2-256,ssh-rsa\n"
        "Ciphers aes256-ctr,chacha20-poly1305@openssh.com\nMACs hmac-sha2-256-etm@openssh.com,hmac-sha2-512,hmac-sha2-256\nUsePAM yes\nKbdInteractiveAuthentication {interactive}",
}
# As most distributions have it: asked through PAM, which waits a second or two before it says no.
PAM = "auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_unix.so\n"
DROPBEARS = {16: ["ed25519", "rsa"], 17: ["rsa"]}
ADDRESSES = {number: (f"198.18.0.{number}", f"2001:db8::{number}") for number in (*OFFERS, 18, *DROPBEARS)}

# The greetings, refusals and patience of FTP servers (ProFTPD, vsftpd, Pure-FTPd, FileZilla, IIS, an appliance).
FTP = {
    11: ("ProFTPD 1.3.5b Server (files) [198.18.0.11]", "Login incorrect.", 3, 0.05),
    12: ("(vsFTPd 3.0.3)", "Login incorrect.", 3, 2.5),
    13: ("---------- Welcome to Pure-FTPd [privsep] [TLS] ----------\n220-You are user number 2 of 50 allowed.\n220-Local time is now 10:12. Server port: 21."
         "\n220-This is a private system - No anonymous login\n220 You will be disconnected after 15 minutes of inactivity.", "Login authentication failed", 5, 0.8),
    14: ("FileZilla Server version 0.9.41 beta\n220-written by Tim Kosse (Tim.Kosse@gmx.de)\n220 Please visit http://sourceforge.net/projects/filezilla/",
         "Login or password incorrect!", 10, 0.1),
    15: ("Microsoft FTP Service", "User cannot log in.", 3, 0.02),
    16: ("FTP server ready.", "Sorry.", 1, 0.4),
}

# As `server.SSHD_START`, for any server: $1 and what follows.
START = """\
mount --bind "$0/passwd" /etc/passwd
mount --bind "$0/shadow" /etc/shadow
[ ! -e /etc/pam.d/sshd ] || mount --bind "$0/pam-sshd" /etc/pam.d/sshd
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mkdir -m 755 /run/sshd
exec "$@"
"""


def start():
    """Start them; the account is that of `server`, which must run already, as its keys are theirs."""
    (SCRATCH / "banner").write_text("Authorised use only. Whoever is not expected here leaves now.\n" * 12)
    (SCRATCH / "pam-sshd").write_text(PAM)
    with open("/etc/shells") as shells:
        assert "/bin/bash" in shells.read(), "dropbear refuses accounts whose shell is not in /etc/shells"
    for kind, bits in (("rsa", 3072), ("ecdsa", 256)):
        _tool("ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", SCRATCH / f"ssh_host_{kind}")
    keys = "".join(f"HostKey {SCRATCH}/ssh_host_{kind}\n" for kind in ("rsa", "ecdsa"))
    for kind in ("ed25519", "rsa"):
        _tool("dropbearkey", "-t", kind, "-f", SCRATCH / f"dropbear_{kind}")
    for number, (v4, v6) in ADDRESSES.items():
        _ip("-n", SERVER.namespace, "addr", "add", v4 + "/15", "dev", "lan0")
        _ip("-n", SERVER.namespace, "addr", "add", v6 + "/32", "dev", "lan0", "nodad")
        if number in DROPBEARS:
            program = ["dropbear", "-F", "-E", "-P", "/run/pid", "-p", f"{v4}:22", "-p", f"[{v6}]:22",
                       *(part for kind in DROPBEARS[number] for part in ("-r", SCRATCH / f"dropbear_{kind}"))]
        else:
            # The last two differ only in how the password is asked for.
            offer = OFFERS[min(number, 15)].format(scratch=SCRATCH, interactive="yes" if number == 15 else "no")
            config = SSHD.format(scratch=SCRATCH, account=ACCOUNT, v4=v4, v6=v6).replace("MaxAuthTries 30", offer.partition("\n")[0])
            config = config.replace("UsePAM no\n", "" if "UsePAM" in offer else "UsePAM no\n") + "\n".join(offer.split("\n")[1:])
            path = SCRATCH / f"sshd_config_{number}"
            path.write_text(f"LoginGraceTime 60\n{keys}{config}\n")
            program = ["/usr/sbin/sshd", "-D", "-f", path, "-E", SCRATCH / f"sshd-{number}.log"]
        SERVER.start(["sh", "-ec", START, SCRATCH, *program], LIMIT_S, f"gate-{number}.log")
    KNOWN[:] = _fingerprints()
    for number, how in FTP.items():
        for address in ADDRESSES[number]:
            SERVER.start(["/usr/bin/python3", SCRATCH / "ftpd.py", SCRATCH / "ftp-account", address, *how], LIMIT_S, "ftpd.log")


KNOWN = []

# What each client needs to be told to accept the old algorithms too.
OLD = ("-o", "KexAlgorithms=+diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1",
       "-o", "HostKeyAlgorithms=+ssh-rsa", "-o", "Ciphers=+aes128-cbc,3des-cbc", "-o", "MACs=+hmac-sha1,hmac-md5", "-o", "RequiredRSASize=1024")
CIPHERS = (None, None, None, "aes128-ctr", "aes256-ctr", "aes256-gcm@openssh.com")


def openssh(address, password, rng, command="date", tries=1):
    cipher = rng.choice(CIPHERS)
    return ["sshpass", "-p", password, "ssh", "-F", SCRATCH / "ssh_config", *OLD, *(["-c", f"{cipher},aes128-ctr"] if cipher else []),
            *rng.choice(([], ["-C"], ["-o", "PreferredAuthentications=password"], ["-o", "PreferredAuthentications=keyboard-interactive,password"])),
            "-o", "PubkeyAuthentication=no", "-o", f"NumberOfPasswordPrompts={tries}", address, *([command] if command else [])]


def putty(address, password, rng, command="date"):
    """plink takes no host key that it has not seen unless it is told which; its batch mode then asks for nothing."""
    keys = [part for key in KNOWN for part in ("-hostkey", key)]
    return ["plink", "-ssh", "-batch", "-no-antispoof", *keys, "-l", ACCOUNT, "-pw", password, address, *([command] if command else [])]


def dropbear(address, password, rng, command="date"):
    return ["env", f"DROPBEAR_PASSWORD={password}", "dbclient", "-y", "-y", "-l", ACCOUNT, address, *([command] if command else [])]


def curl(address, password, rng, command="date"):
    """SFTP by libssh2: a listing, or a file."""
    host = f"[{address}]" if ":" in address else address
    return ["curl", "-sSk", "--max-time", "20", "-u", f"{ACCOUNT}:{password}", "-o", "/dev/null",
            f"sftp://{host}/etc/{rng.choice(('', 'services', 'hostname'))}"]


PARAMIKO = """\
import sys, paramiko
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect(sys.argv[1], username=sys.argv[2], password=sys.argv[3], look_for_keys=False, allow_agent=False, timeout=8)
print(len(client.exec_command(sys.argv[4])[1].read()))
client.close()
"""


def paramiko(address, password, rng, command="date"):
    return ["/usr/bin/python3", "-W", "ignore", "-c", PARAMIKO, address, ACCOUNT, password, command or "date"]


CLIENTS = (openssh, openssh, putty, dropbear, curl, paramiko)


def _fingerprints():
    """Of every host key."""
    found = [_tool("ssh-keygen", "-l", "-f", path).split()[1] for path in SCRATCH.glob("ssh_host_*.pub")]
    for kind in ("ed25519", "rsa"):
        public = next(line for line in _tool("dropbearkey", "-y", "-f", SCRATCH / f"dropbear_{kind}").splitlines() if line.startswith("ssh-"))
        (SCRATCH / f"dropbear_{kind}.line").write_text(public + "\n")
        found.append(_tool("ssh-keygen", "-l", "-f", SCRATCH / f"dropbear_{kind}.line").split()[1])
    return found




def ready():
    """Every gate listens."""
    listening = _tool("ip", "netns", "exec", SERVER.namespace, "ss", "-Hltn")
    return all(f"{v4}:22" in listening for v4, _ in ADDRESSES.values())


def words(count, rng):
    path = SCRATCH / f"guesses-{rng.getrandbits(32)}"
    path.write_text("".join(f"{rng.choice(('winter', 'dragon', 'letmein', 'monkey', 'a', 'correct-horse-'))}{rng.randrange(10_000)}\n" for _ in range(count)))
    return path


def guesses(address, rng):
    """Commands that guess at one server: each tool in turn, several guesses a connection or one."""
    name = f"[{address}]" if ":" in address else address
    six = ":" in address
    yield ["hydra", "-I", "-q", *(["-6"] if six else []), "-l", ACCOUNT, "-t", rng.choice((1, 3, 4)), "-P", words(12, rng), f"ssh://{name}"]
    if not six:
        yield ["medusa", "-h", address, "-u", ACCOUNT, "-P", words(10, rng), "-M", "ssh", "-t", rng.choice((1, 3))]
        yield ["ncrack", "--user", ACCOUNT, "-P", words(16, rng), "-g", f"CL=4,at={rng.choice((1, 2, 3, 6))},cr=1,to=25s", f"ssh://{address}:22"]
        yield ["patator", "ssh_login", f"host={address}", f"user={ACCOUNT}", "password=FILE0", f"0={words(10, rng)}", "persistent=0", "-t", 3,
               "-x", "ignore:mesg=Authentication failed."]
        yield ["nmap", "-n", "-Pn", "-p", "22", "--script", "ssh-brute", "--script-args",
               f"userdb={words(1, rng)},passdb={words(8, rng)},brute.firstonly=true,brute.threads=3,ssh-brute.timeout=6s", address]
    # Scripts that try one word after the other with the ordinary clients.
    for client in (openssh, putty, dropbear, curl, paramiko):
        lines = [" ".join(map(quoted, client(address, f"{word}{rng.randrange(1000)}", rng))) for word in ("root", "admin-", "correct", "Passw0rd!")]
        yield ["sh", "-c", "\n".join(f"timeout 12 {line} >/dev/null </dev/null" for line in lines)]


def ftp_guesses(address, rng):
    """As `guesses`, at an FTP server."""
    name = f"[{address}]" if ":" in address else address
    yield ["hydra", "-I", "-q", *(["-6"] if ":" in address else []), "-l", ACCOUNT, "-t", rng.choice((1, 4, 6)), "-P", words(24, rng), f"ftp://{name}"]
    if ":" not in address:
        yield ["medusa", "-h", address, "-u", ACCOUNT, "-P", words(16, rng), "-M", "ftp", "-t", rng.choice((1, 4))]
        yield ["ncrack", "--user", ACCOUNT, "-P", words(20, rng), "-g", f"CL=4,at={rng.choice((1, 3))},cr=1,to=25s", f"ftp://{address}:21"]
        yield ["patator", "ftp_login", f"host={address}", f"user={ACCOUNT}", "password=FILE0", f"0={words(14, rng)}",
               f"persistent={rng.choice('01')}", "-t", 3, "-x", "ignore:code=530"]
    yield ["sh", "-c", "\n".join(f"curl -sS --max-time 9 -u {ACCOUNT}:{word}{rng.randrange(1000)} ftp://{name}/ >/dev/null" for word in ("root", "admin-", "a", "Passw0rd!") * 2)]


def quoted(part):
    return "'" + str(part).replace("'", "'\\''") + "'"
