//! The page's server, for the user's browser on the same machine. It answers `GET` for five names
//! and refuses everything else.
//!
//! A token in the path authorises the request; other users of the machine and other pages do not
//! know it. The name in `Host` must be the loopback's, so no page elsewhere can reach the server by
//! a name of its own. Each connection serves one request on one thread, with bounds on its size,
//! its time and the number of connections.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::hex::hex;
use crate::problem::{Problem, SystemError};

use super::package::Package;
use super::page::{WORKER, served};

/// The most bytes of a request's head, and the most headers in it.
const HEAD_LEN_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;
/// How long a request may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a write may block.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// How long data beyond the request is read after the answer.
const DRAIN_TIME: Duration = Duration::from_millis(500);
/// The most connections at once. A browser opens six to one server, so two pages fit.
const CONNECTIONS_MAX: usize = 16;

/// The content that is served.
#[derive(Debug)]
pub(crate) struct Site {
    page: String,
    policy: String,
    package: Package,
    recording: PathBuf,
}

impl Site {
    pub(crate) fn new(name: &str, package: Package, recording: &Path) -> Site {
        let (page, policy) = served(name);
        Site {
            page,
            policy,
            package,
            recording: recording.to_owned(),
        }
    }
}

/// A server that has its port and does not accept connections yet.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    port: u16,
    token: String,
}

impl Server {
    /// Binds a port of the loopback; the system chooses one for 0.
    pub(crate) fn bind(port: u16) -> Result<Server, Problem> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let bound = TcpListener::bind(address).and_then(|listener| {
            let port = listener.local_addr()?.port();
            Ok((listener, port))
        });
        let (listener, port) = bound.map_err(|source| SystemError::Port { port, source })?;
        Ok(Server {
            listener,
            port,
            token: token()?,
        })
    }

    /// Returns the page's address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token)
    }

    /// Serves until the process ends.
    pub(crate) fn serve(self, site: Site) -> io::Result<()> {
        let shared = Arc::new(Shared {
            site,
            token: self.token,
            hosts: ["127.0.0.1", "localhost"].map(|name| format!("{name}:{}", self.port)),
            open: AtomicUsize::new(0),
        });
        let listener = self.listener;
        let listen = move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => accept(&shared, stream),
                    // A resource of the process is exhausted. Wait and try again.
                    Err(_) => thread::sleep(Duration::from_millis(50)),
                }
            }
        };
        thread::Builder::new()
            .name("server".to_owned())
            .spawn(listen)
            .map(drop)
    }
}

/// Returns 128 random bits as hexadecimal digits.
fn token() -> Result<String, Problem> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| SystemError::Random(error.into()))?;
    Ok(hex(&bytes))
}

#[derive(Debug)]
struct Shared {
    site: Site,
    token: String,
    hosts: [String; 2],
    open: AtomicUsize,
}

/// Counts an open connection.
struct Slot(Arc<Shared>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn accept(shared: &Arc<Shared>, stream: TcpStream) {
    let before = shared.open.fetch_add(1, Ordering::Relaxed);
    let slot = Slot(Arc::clone(shared));
    if before >= CONNECTIONS_MAX {
        let mut stream = stream;
        let _ = stream.set_write_timeout(Some(Duration::from_millis(100)));
        let _ = refuse(&mut stream, &shared.site, Refusal::Busy);
        return;
    }
    let answer = move || {
        // The client is gone, so an error cannot be reported.
        let _ = serve_one(&slot.0, stream);
    };
    // Without a thread the connection is closed and its slot is free again.
    let _ = thread::Builder::new()
        .name("connection".to_owned())
        .spawn(answer);
}

fn serve_one(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_TIME))?;
    let answered = match read_head(&mut stream)? {
        Ok(head) => match route(shared, &head) {
            Ok(resource) => answer(shared, &mut stream, resource),
            Err(refusal) => refuse(&mut stream, &shared.site, refusal),
        },
        Err(refusal) => refuse(&mut stream, &shared.site, refusal),
    };
    stream.shutdown(Shutdown::Write)?;
    drain(&mut stream);
    answered
}

/// Reads for a moment what was sent beyond the request: closing a connection with unread data makes
/// the client discard the answer.
fn drain(stream: &mut TcpStream) {
    let until = Instant::now() + DRAIN_TIME;
    let mut part = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return;
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Page,
    Worker,
    Script,
    Module,
    Recording,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Bad,
    TooLong,
    TooSlow,
    Method,
    Host,
    NotFound,
    Busy,
}

impl Refusal {
    const fn status(self) -> &'static str {
        match self {
            Refusal::Bad => "400 Bad Request",
            Refusal::TooLong => "431 Request Header Fields Too Large",
            Refusal::TooSlow => "408 Request Timeout",
            Refusal::Method => "405 Method Not Allowed",
            Refusal::Host => "421 Misdirected Request",
            Refusal::NotFound => "404 Not Found",
            Refusal::Busy => "503 Service Unavailable",
        }
    }
}

/// The relevant parts of a request's head.
#[derive(Debug)]
struct Head {
    method: String,
    path: String,
    hosts: Vec<Vec<u8>>,
}

/// Reads until the head is complete.
fn read_head(stream: &mut TcpStream) -> io::Result<Result<Head, Refusal>> {
    let until = Instant::now() + HEAD_TIME;
    let mut bytes = Vec::new();
    let mut part = [0; 1024];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Err(Refusal::TooSlow));
        }
        stream.set_read_timeout(Some(left))?;
        let len = match stream.read(&mut part) {
            Ok(0) => return Ok(Err(Refusal::Bad)),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                return Ok(Err(Refusal::TooSlow));
            }
            Err(error) => return Err(error),
        };
        bytes.extend_from_slice(&part[..len]);
        match parse(&bytes) {
            Ok(Some(head)) => return Ok(Ok(head)),
            Ok(None) if bytes.len() >= HEAD_LEN_MAX => return Ok(Err(Refusal::TooLong)),
            Ok(None) => {}
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
}

/// Parses the head. Returns `None` while it is incomplete.
fn parse(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLong),
        Err(_) => return Err(Refusal::Bad),
    }
    let (Some(method), Some(path)) = (request.method, request.path) else {
        return Err(Refusal::Bad);
    };
    let hosts = request.headers.iter();
    let hosts = hosts.filter(|header| header.name.eq_ignore_ascii_case("host"));
    Ok(Some(Head {
        method: method.to_owned(),
        path: path.to_owned(),
        hosts: hosts.map(|header| header.value.to_vec()).collect(),
    }))
}

/// Returns what a request asks for, if it is authorised.
fn route(shared: &Shared, head: &Head) -> Result<Resource, Refusal> {
    let is_ours = |host: &[u8]| shared.hosts.iter().any(|ours| ours.as_bytes() == host);
    match &head.hosts[..] {
        [host] if is_ours(host) => {}
        _ => return Err(Refusal::Host),
    }
    let (token, name) = head
        .path
        .strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .ok_or(Refusal::NotFound)?;
    if !is_same(token, &shared.token) {
        return Err(Refusal::NotFound);
    }
    if head.method != "GET" {
        return Err(Refusal::Method);
    }
    // Names are compared and never used as paths, so no other file can be reached.
    match name {
        "" => Ok(Resource::Page),
        "worker.js" => Ok(Resource::Worker),
        "antiphon.js" => Ok(Resource::Script),
        "antiphon_bg.wasm" => Ok(Resource::Module),
        "recording" => Ok(Resource::Recording),
        _ => Err(Refusal::NotFound),
    }
}

/// Compares in constant time, so that timing does not reveal how much of the token is right.
fn is_same(got: &str, expected: &str) -> bool {
    let differences = got.bytes().zip(expected.bytes()).map(|(a, b)| a ^ b);
    got.len() == expected.len() && differences.fold(0, |all, one| all | one) == 0
}

fn answer(shared: &Shared, stream: &mut TcpStream, resource: Resource) -> io::Result<()> {
    let site = &shared.site;
    let mut text = |kind, text: &[u8]| {
        stream.write_all(head_of("200 OK", site, kind, text.len() as u64).as_bytes())?;
        stream.write_all(text)
    };
    match resource {
        Resource::Page => text("text/html; charset=utf-8", site.page.as_bytes()),
        Resource::Worker => text("text/javascript; charset=utf-8", WORKER.as_bytes()),
        Resource::Script => text(
            "text/javascript; charset=utf-8",
            site.package.script.as_bytes(),
        ),
        Resource::Module => text("application/wasm", &site.package.module),
        Resource::Recording => recording(site, stream),
    }
}

/// Sends the recording from its file. If the file grows meanwhile, only its former length is sent.
fn recording(site: &Site, stream: &mut TcpStream) -> io::Result<()> {
    let opened = File::open(&site.recording).and_then(|file| {
        let len = file.metadata()?.len();
        Ok((file, len))
    });
    let Ok((file, len)) = opened else {
        return refuse(stream, site, Refusal::NotFound);
    };
    let head = head_of("200 OK", site, "application/octet-stream", len);
    stream.write_all(head.as_bytes())?;
    io::copy(&mut file.take(len), stream).map(drop)
}

fn refuse(stream: &mut TcpStream, site: &Site, refusal: Refusal) -> io::Result<()> {
    let text = format!("{}\n", refusal.status());
    let mut head = head_of(
        refusal.status(),
        site,
        "text/plain; charset=utf-8",
        text.len() as u64,
    );
    if refusal == Refusal::Method {
        head.insert_str(head.len() - 2, "Allow: GET\r\n");
    }
    stream.write_all((head + &text).as_bytes())
}

fn head_of(status: &str, site: &Site, kind: &str, len: u64) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nConnection: \
         close\r\n\
         Content-Security-Policy: {}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: \
         no-referrer\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         Cache-Control: no-store\r\n\r\n",
        site.policy
    )
}
