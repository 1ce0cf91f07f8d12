//! A server of few lines that answers as it is told, and a clock that only moves when somebody sleeps by it.

use provisioner::api::{Access, Client, Clock, Limits};
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// As long as Hetzner's, and nobody's.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `GET /servers?page=1`.
    pub(crate) line: String,
    /// All header lines.
    pub(crate) headers: String,
    /// The body, null where there is none.
    pub(crate) body: Value,
}

/// What is answered.
#[derive(Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    manner: Manner,
}

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Whole,
    /// The connection ends before a byte of the answer.
    Lost,
    /// The connection ends before the whole answer.
    Short,
    /// A byte now and then, for ever.
    Trickle,
}

impl Reply {
    pub(crate) fn raw(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), manner: Manner::Whole }
    }

    pub(crate) fn ok(body: &Value) -> Self {
        Self::raw(200, body.to_string())
    }

    pub(crate) fn refused(status: u16, code: &str) -> Self {
        Self::raw(status, json!({ "error": { "code": code, "message": "because" } }).to_string())
    }

    pub(crate) fn lost() -> Self {
        Self { manner: Manner::Lost, ..Self::raw(200, "") }
    }

    pub(crate) fn short(self) -> Self {
        Self { manner: Manner::Short, ..self }
    }

    pub(crate) fn trickling() -> Self {
        Self { manner: Manner::Trickle, ..Self::raw(200, "{\"a\"") }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// With the headers of the budget: 3600 an hour, refilled one a second.
    pub(crate) fn left(self, remaining: u64, now: Duration) -> Self {
        self.header("RateLimit-Limit", "3600")
            .header("RateLimit-Remaining", &remaining.to_string())
            .header("RateLimit-Reset", &(now.as_secs() + 3600 - remaining).to_string())
    }

    async fn write(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        if self.manner == Manner::Lost {
            return Ok(());
        }
        let more = if self.manner == Manner::Whole { 0 } else { 1000 };
        let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", self.status);
        head.push_str(&format!("Content-Length: {}\r\n", self.body.len() + more));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await?;
        stream.write_all(&self.body).await?;
        if self.manner != Manner::Trickle {
            return Ok(());
        }
        // Until the client goes away, which makes the next byte an error.
        loop {
            stream.write_all(b" ").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The server; it ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, handler): (Arc<Mutex<Vec<Seen>>>, Arc<Handler>) = (Arc::default(), Arc::new(handler));
        tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
                    // A client that goes away in the middle is part of some tests.
                    tokio::spawn(async move { serve(stream, &seen, &*handler).await.ok() });
                }
            }
        });
        Self { url, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The first lines of all requests, without their query.
    pub(crate) fn lines(&self) -> Vec<String> {
        let path = |seen: Seen| seen.line.split('?').next().unwrap_or_default().to_owned();
        self.seen().into_iter().map(path).collect()
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>, handler: &Handler) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut stream);
    let (mut first, mut headers, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first).await?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await?;
        if line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or_default();
        }
        headers.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let request = Seen { line, headers, body: serde_json::from_slice(&body).unwrap_or_default() };
    seen.lock().unwrap().push(request.clone());
    handler(&request).write(&mut stream).await
}

/// A clock whose time passes at once, and only when it is slept by.
pub(crate) struct Turned {
    now: Mutex<Duration>,
    slept: Mutex<Vec<Duration>>,
}

impl Turned {
    pub(crate) fn slept(&self) -> Vec<Duration> {
        self.slept.lock().unwrap().clone()
    }
}

impl Clock for Turned {
    fn now(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, length: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        *self.now.lock().unwrap() += length;
        self.slept.lock().unwrap().push(length);
        Box::pin(tokio::task::yield_now())
    }
}

/// A server, a client of it, and what the client said.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) clock: Arc<Turned>,
    notices: Arc<Mutex<Vec<String>>>,
}

/// When the turned clock starts.
pub(crate) const START: Duration = Duration::from_secs(1_800_000_000);

impl Scene {
    pub(crate) async fn new(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::limited(Limits::default(), handler).await
    }

    pub(crate) async fn limited(
        limits: Limits,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let server = Server::start(handler).await;
        let notices: Arc<Mutex<Vec<String>>> = Arc::default();
        let notice = {
            let notices = Arc::clone(&notices);
            Arc::new(move |text: &str| notices.lock().unwrap().push(text.to_owned()))
        };
        let clock = Arc::new(Turned { now: Mutex::new(START), slept: Mutex::default() });
        let client = Client::serving(access(&server.url, TOKEN), None, notice).unwrap();
        let client = client.with_limits(limits).unwrap().with_clock(Arc::<Turned>::clone(&clock));
        Self { server, client, clock, notices }
    }

    /// One that answers with these, one after the other, and then with the last for ever.
    pub(crate) async fn scripted(replies: Vec<Reply>) -> Self {
        let next = Mutex::new(0);
        Self::new(move |_| {
            let mut next = next.lock().unwrap();
            *next += 1;
            replies[(*next - 1).min(replies.len() - 1)].clone()
        })
        .await
    }

    pub(crate) fn notices(&self) -> Vec<String> {
        self.notices.lock().unwrap().clone()
    }

    pub(crate) fn slept(&self) -> Duration {
        self.clock.slept().iter().sum()
    }
}

pub(crate) fn access(url: &str, token: &str) -> Access {
    Access::new(url, host::Secret::new(token.into()), "HCLOUD_TOKEN")
}
