//! Tests `view`: its server answers only requests with the secret address, and its page is one
//! file. `tests/view` tests the page in a browser, in the lane `wasm`.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use antiphon_machine::{Outcome, Value};
use antiphon_record::{Entry, Reader, Writer};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::common::{self, PATIENCE, TestDir, end, next_line, signal, wait};

const RECORDING: &str = "../../fixtures/recordings/v1/ping-pong.rec";
const DIVERGES: &str = "tests/view/diverges.rec";

/// A stand-in for the package, which is served but not run here.
const SCRIPT: &str = "export default function init() {}\n";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

fn view_dir() -> TestDir {
    let dir = TestDir::new();
    dir.write("a.rec", recording());
    fs::create_dir(dir.path("package")).expect("it is writable");
    dir.write("package/antiphon.js", SCRIPT);
    dir.write("package/antiphon_bg.wasm", MODULE);
    dir
}

fn recording() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDING)).expect("it is there")
}

/// A running server; it ends with the test.
struct Running {
    child: Child,
    port: u16,
    token: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(dir: &TestDir) -> Running {
        let args = ["view", "a.rec", "--no-open", "--package", "package"];
        let mut child = dir.start(&args);
        let url = next_line(&mut child);
        let rest = url.strip_prefix("http://127.0.0.1:").expect("the loopback");
        let (port, token) = rest.trim_end().split_once('/').expect("a path");
        let token = token.strip_suffix('/').expect("a folder").to_owned();
        let port = port.parse().expect("a port");
        Running { child, port, token }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket has one");
        stream
    }

    /// Sends bytes and reads the whole answer.
    fn send(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // A server need not read a refused request to its end.
        let _ = stream.write_all(bytes);
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got);
        Answer::of(&got)
    }

    fn ask(&self, method: &str, path: &str, host: &str) -> Answer {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
    }

    fn get(&self, name: &str) -> Answer {
        let path = format!("/{}/{name}", self.token);
        self.ask("GET", &path, &format!("127.0.0.1:{}", self.port))
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Answer {
        let at = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let at = at.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..at].to_vec()).expect("text");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Answer {
            status: status.expect("a status"),
            head,
            body: bytes[at + 4..].to_vec(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

#[test]
fn the_address_serves_the_page_and_its_parts() {
    let dir = view_dir();
    let server = Running::start(&dir);
    assert_eq!(server.token.len(), 32);
    assert!(server.token.bytes().all(|b| b.is_ascii_hexdigit()));

    let page = server.get("");
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("Content-Security-Policy").expect("it has one");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"),
        "{policy}"
    );
    assert_eq!(page.header("Referrer-Policy"), Some("no-referrer"));
    assert_eq!(page.header("Cache-Control"), Some("no-store"));
    assert_eq!(page.header("X-Content-Type-Options"), Some("nosniff"));

    let parts: [(&str, &str, Vec<u8>); 3] = [
        (
            "antiphon.js",
            "text/javascript; charset=utf-8",
            SCRIPT.into(),
        ),
        ("antiphon_bg.wasm", "application/wasm", MODULE.into()),
        ("recording", "application/octet-stream", recording()),
    ];
    for (name, kind, bytes) in parts {
        let part = server.get(name);
        assert_eq!(
            (part.status, part.header("Content-Type")),
            (200, Some(kind))
        );
        let len = bytes.len().to_string();
        assert_eq!(part.header("Content-Length"), Some(&len[..]));
        assert!(part.body == bytes, "{name}");
    }
    assert_eq!(server.get("worker.js").status, 200);
    let localhost = format!("localhost:{}", server.port);
    let path = format!("/{}/", server.token);
    assert_eq!(server.ask("GET", &path, &localhost).status, 200);
}

#[test]
fn each_server_has_its_own_secret() {
    let dir = view_dir();
    let (one, other) = (Running::start(&dir), Running::start(&dir));
    assert_ne!(one.token, other.token);
    assert_ne!(one.port, other.port);
}

#[test]
fn requests_without_the_secret_are_not_found() {
    let dir = view_dir();
    let server = Running::start(&dir);
    let host = format!("127.0.0.1:{}", server.port);
    let token = &server.token;
    let mut wrong = token.clone().into_bytes();
    wrong[31] ^= 1;
    let wrong = String::from_utf8(wrong).expect("text");
    let paths = [
        "/".to_owned(),
        "/recording".to_owned(),
        format!("/{token}"),
        format!("//{token}/"),
        format!("/{wrong}/"),
        format!("/{}/", &token[..31]),
        format!("/{token}0/"),
        format!("/{}/recording", "0".repeat(32)),
    ];
    for path in paths {
        let answer = server.ask("GET", &path, &host);
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body, b"404 Not Found\n", "{path}");
    }
}

#[test]
fn no_path_reaches_another_file() {
    let dir = view_dir();
    let server = Running::start(&dir);
    let names = [
        "../../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "recording/../../a.rec",
        "./",
        "a.rec",
        "/etc/passwd",
        "recording?x",
        "recording/",
        "Recording",
        "%72ecording",
        "worker.js%00",
        "package/antiphon.js",
    ];
    for name in names {
        assert_eq!(server.get(name).status, 404, "{name}");
    }
}

#[test]
fn another_name_for_this_machine_is_refused() {
    let dir = view_dir();
    let server = Running::start(&dir);
    let (port, path) = (server.port, format!("/{}/", server.token));
    let hosts = [
        format!("evil.example:{port}"),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{}", port ^ 1),
        format!("127.0.0.1:{port}.evil.example"),
        format!("localhost:{port}@evil.example"),
        String::new(),
    ];
    for host in hosts {
        assert_eq!(server.ask("GET", &path, &host).status, 421, "{host}");
    }
    let none = format!("GET {path} HTTP/1.1\r\n\r\n");
    assert_eq!(server.send(none.as_bytes()).status, 421);
    let two =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example\r\n\r\n");
    assert_eq!(server.send(two.as_bytes()).status, 421);
}

#[test]
fn only_get_is_allowed() {
    let dir = view_dir();
    let server = Running::start(&dir);
    let host = format!("127.0.0.1:{}", server.port);
    for method in [
        "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "get",
    ] {
        let answer = server.ask(method, &format!("/{}/", server.token), &host);
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("Allow"), Some("GET"), "{method}");
    }
}

#[test]
fn refuses_malformed_and_long_requests_and_serves_the_next() {
    let dir = view_dir();
    let server = Running::start(&dir);
    let head = format!(
        "GET /{}/ HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n",
        server.token, server.port
    );
    let long = format!("{head}X: {}\r\n\r\n", "y".repeat(64 << 10));
    assert_eq!(server.send(long.as_bytes()).status, 431);
    let many = format!("{head}{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(server.send(many.as_bytes()).status, 431);
    assert_eq!(server.send(b"\x16\x03\x01\x02\x00\x01\x00").status, 400);
    assert_eq!(server.send(b"GET\r\n\r\n").status, 400);
    // An incomplete request.
    let mut stream = server.connect();
    stream.write_all(head.as_bytes()).expect("it is taken");
    stream.shutdown(Shutdown::Write).expect("it is open");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("an answer");
    assert_eq!(Answer::of(&got).status, 400);
    // A request in pieces is served.
    let mut stream = server.connect();
    for piece in format!("{head}\r\n").as_bytes().chunks(7) {
        stream.write_all(piece).expect("it is taken");
    }
    got.clear();
    stream.read_to_end(&mut got).expect("an answer");
    assert_eq!(Answer::of(&got).status, 200);
}

#[test]
fn a_silent_client_releases_its_slot() {
    let dir = view_dir();
    let server = Running::start(&dir);
    let silent: Vec<TcpStream> = (0..24).map(|_| server.connect()).collect();
    // Some connections get a slot and some are refused at once. After the time limit all slots are
    // free again.
    let mut refused = 0;
    for mut stream in silent {
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("it is answered");
        match Answer::of(&got).status {
            503 => refused += 1,
            408 => {}
            other => panic!("{other}"),
        }
    }
    assert!(refused >= 8, "{refused} were refused");
    // A slot becomes free shortly after its answer.
    while server.get("").status != 200 {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn listens_on_the_loopback_only() {
    let dir = view_dir();
    let server = Running::start(&dir);
    let listening = fs::read_to_string("/proc/net/tcp").expect("this is Linux");
    let port = format!(":{:04X} ", server.port);
    let line = listening
        .lines()
        .find(|line| line.contains(&port) && line.contains(" 0A "))
        .expect("it listens");
    assert!(line.contains("0100007F:"), "{line}");
    let everywhere = fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    let mut lines = everywhere.lines();
    assert!(!lines.any(|line| line.contains(&port) && line.contains(" 0A ")));
}

#[test]
fn a_signal_ends_the_server_with_success() {
    let dir = view_dir();
    for name in ["INT", "TERM"] {
        let mut server = Running::start(&dir);
        signal(&server.child, name);
        let status = wait(&mut server.child).expect("it ends");
        assert_eq!(status.code(), Some(0), "{name}");
    }
}

#[test]
fn prints_json() {
    let dir = view_dir();
    let args = [
        "view",
        "a.rec",
        "--no-open",
        "--package",
        "package",
        "--json",
    ];
    let mut child = dir.start(&args);
    let line = next_line(&mut child);
    let _ = child.kill();
    let _ = child.wait();
    let document: serde_json::Value = serde_json::from_str(&line).expect("a document");
    assert_eq!(document["event"], "serving");
    let url = document["url"].as_str().expect("text");
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    let address: SocketAddr = url["http://".len()..].split('/').next().map_or_else(
        || panic!("{url}"),
        |address| address.parse().expect("an address"),
    );
    // The server ends with its process.
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_err());

    let output = dir.run_ok(&[
        "view",
        "a.rec",
        "--out",
        "p.html",
        "--package",
        "package",
        "--json",
    ]);
    let document: serde_json::Value = serde_json::from_str(&output).expect("a document");
    assert_eq!(document["event"], "written");
    assert_eq!(document["bytes"], dir.read("p.html").len());
}

#[test]
fn a_page_is_one_file_with_a_policy() {
    let dir = view_dir();
    let output = dir.run_ok(&["view", "a.rec", "--out", "p.html", "--package", "package"]);
    assert!(output.starts_with("p.html: "), "{output}");
    let page = String::from_utf8(dir.read("p.html")).expect("text");
    let policy = page.split_once("Content-Security-Policy\" content=\"");
    let policy = policy
        .and_then(|(_, rest)| rest.split('"').next())
        .expect("it has one");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(
        !policy.contains("connect-src") && !policy.contains("unsafe-inline"),
        "{policy}"
    );
    assert!(
        !page.contains("src=") && !page.contains("@import"),
        "it loads nothing"
    );
    // The page may be overwritten, the recording may not.
    dir.run_ok(&["view", "a.rec", "--out", "p.html", "--package", "package"]);
    let output = dir.run(&["view", "a.rec", "--out", "./a.rec", "--package", "package"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(dir.read("a.rec") == recording());
}

/// A recording reaches the page as base64, so no text in it can become markup.
#[test]
fn a_page_holds_hostile_text_as_data() {
    let dir = view_dir();
    let evil = "</script><script>alert(1)</script><!--\\u{202e}\\u{0}]]>";
    let script = format!(
        "Ann sends title \"{evil}\"\nShop sends quote 1\nAnn sends share 1\nBob sends quit\n"
    );
    dir.write("evil.script", script);
    let run = ["run", "two_buyer.anti", "--script", "evil.script"];
    dir.run_ok(&[&run[..], &["--record", "evil.rec"]].concat());
    let view = ["view", "--package", "package", "--out", "p.html"];
    dir.run_ok(&[&view[..], &["evil.rec"]].concat());
    let page = String::from_utf8(dir.read("p.html")).expect("text");
    assert_eq!(
        page.matches("<script").count(),
        4,
        "three parts and the page's own script"
    );
    assert_eq!(page.matches("</script").count(), 4);
    assert!(!page.contains("alert(1)") && !page.contains('\u{202e}'));
    let base64 = BASE64_STANDARD.encode(dir.read("evil.rec"));
    assert!(page.contains(&format!("id=\"recording\">{base64}</script>")));
}

#[test]
fn reports_what_cannot_be_viewed() {
    let dir = view_dir();
    let check = |args: &[&str], code, says: &str| {
        let output = dir.run(args);
        assert_eq!(output.code, Some(code), "{output:?}");
        assert!(output.stderr.contains(says), "{output:?}");
    };
    check(
        &["view", "none.rec", "--package", "package"],
        125,
        "cannot read `none.rec`",
    );
    check(&["view", ".", "--package", "package"], 125, "is not a file");
    check(
        &["view", "a.rec", "--package", "nowhere"],
        125,
        "`cargo xtask wasm` builds it",
    );
    check(
        &["view", "a.rec", "--out", "x/p.html", "--package", "package"],
        125,
        "x/p.html",
    );
    check(
        &["view", "a.rec", "--out", "p.html", "--no-open"],
        2,
        "cannot be used with",
    );
    let large = fs::File::create(dir.path("large.rec")).expect("it is writable");
    large
        .set_len((256 << 20) + 1)
        .expect("a file can be sparse");
    check(
        &[
            "view",
            "large.rec",
            "--out",
            "p.html",
            "--package",
            "package",
        ],
        125,
        "is longer than 268435456 bytes",
    );
}

#[test]
fn reports_a_missing_package_and_a_taken_port() {
    let dir = view_dir();
    let mut command = dir.command(&["view", "a.rec", "--no-open"]);
    let output = end(command
        .env("ANTIPHON_WASM", "elsewhere")
        .spawn()
        .expect("it starts"));
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(
        output.stderr.contains("`elsewhere` has no package"),
        "{output:?}"
    );

    let taken = Running::start(&dir);
    let port = taken.port.to_string();
    let args = ["view", "a.rec", "--no-open", "--port", &port, "--package"];
    let output = dir.run(&[&args[..], &["package"]].concat());
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("cannot serve on port"), "{output:?}");
}

#[test]
fn the_package_is_found_beside_the_program() {
    let dir = view_dir();
    fs::create_dir_all(dir.path("top/bin")).expect("it is writable");
    fs::create_dir_all(dir.path("top/share/antiphon")).expect("it is writable");
    let program = dir.path("top/bin/antiphon");
    common::copy_program(&program);
    let run = || {
        let mut command = Command::new(&program);
        command
            .args(["view", "a.rec", "--out", "p.html"])
            .current_dir(dir.path("."));
        command.env_remove("ANTIPHON_WASM");
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        end(command.spawn().expect("it starts"))
    };
    let output = run();
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(
        output
            .stderr
            .contains("`cargo xtask wasm` builds it in a checkout"),
        "{output:?}"
    );
    fs::rename(dir.path("package"), dir.path("top/share/antiphon/wasm")).expect("ours");
    let output = run();
    assert_eq!(output.code, Some(0), "{output:?}");
}

/// The browser tests use a recording that diverges: the fixture with another answer and new
/// checksums. `BLESS=1` writes it.
#[test]
fn the_diverging_recording_is_the_fixture_with_another_answer() {
    let bytes = recording();
    let mut reader = Reader::open(&bytes[..]).expect("a recording");
    let header = reader.header().clone();
    let mut writer = Writer::create(Vec::new(), &header).expect("memory");
    let mut answers = 0;
    while let Some(mut entry) = reader.entry().expect("memory") {
        if let Entry::Answer(outcome) = &mut entry {
            answers += 1;
            if answers == 2 {
                *outcome = Outcome::Success(Value::Nat(99));
            }
        }
        writer.entry(&entry).expect("memory");
    }
    assert!(answers >= 2, "{answers} answers");
    let diverges = writer.finish().expect("memory");
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(DIVERGES);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &diverges).expect("the folder is there");
    }
    let kept = fs::read(&path).expect("`BLESS=1` writes it");
    assert!(kept == diverges, "`{DIVERGES}` is another");
    let dir = view_dir();
    dir.write("a.rec", diverges);
    assert_eq!(dir.run(&["replay", "a.rec"]).code, Some(1));
}
