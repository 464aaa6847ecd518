//! TCP proxies in front of brokers that deliver requests late, after the client has repeated them,
//! and hide brokers.
//!
//! A proxy reads the framing of requests only. A held request is not forwarded: the proxy closes
//! the client's side, as a broken connection would, and keeps its own connection to the broker, on
//! which it delivers the request later. Of answers it changes metadata only.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::{KafkaCluster, ports};

/// Keys of Kafka's protocol.
pub const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
pub const JOIN_GROUP: i16 = 11;
pub const HEARTBEAT: i16 = 12;
pub const LEAVE_GROUP: i16 = 13;
pub const INIT_PRODUCER_ID: i16 = 22;
pub const ADD_PARTITIONS_TO_TXN: i16 = 24;
pub const ADD_OFFSETS_TO_TXN: i16 = 25;
pub const END_TXN: i16 = 26;
pub const TXN_OFFSET_COMMIT: i16 = 28;

/// How long the broker may take to answer a request that is delivered late.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// At least as many as there are tests that take one.
const PROXIES: u16 = 16;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Forward,
    /// It is kept, and the client loses its connection.
    Hold,
    /// Everything that is held is delivered first.
    AfterHeld,
    /// It is forwarded after this time, as is what follows on its connection.
    Late(Duration),
    /// It gets no answer.
    Swallow,
}

/// A request of a client.
pub struct Request<'a> {
    pub api_key: i16,
    /// Its answer has the same.
    correlation_id: &'a [u8],
    /// What follows the client id.
    body: &'a [u8],
}

impl Request<'_> {
    /// Whether this is an `EndTxn` (up to version 2) that aborts: its body ends with a boolean.
    pub fn is_abort(&self) -> bool {
        self.api_key == END_TXN && self.body.last() == Some(&0)
    }
}

type Judge = Box<dyn FnMut(&Request<'_>) -> Verdict + Send>;

struct Held {
    frame: Vec<u8>,
    broker: TcpStream,
    /// The broker's answers on this connection, which no client reads.
    answers: Receiver<Vec<u8>>,
}

#[derive(Default)]
struct State {
    judge: Mutex<Option<Judge>>,
    held: Mutex<Vec<Held>>,
    /// Metadata list no brokers if their request contains this, the name of a topic or nothing.
    hides_brokers: Mutex<Option<Vec<u8>>>,
    /// How many metadata listed no brokers.
    without_brokers: AtomicUsize,
    /// The error codes of the `EndTxn` requests that were delivered.
    delivered: Mutex<Vec<Option<i16>>>,
}

/// A proxy; its threads end with the test process.
pub struct Proxy {
    state: Arc<State>,
    port: u16,
}

/// A cluster of one broker that has a further listener behind each proxy, one for each test.
struct Proxied {
    cluster: KafkaCluster,
    free: Mutex<Vec<Proxy>>,
}

impl Proxied {
    fn start() -> Proxied {
        let first = ports::free(2 * PROXIES);
        let pairs = (first..).step_by(2).map(|port| (port, port + 1)).take(PROXIES.into());
        let further = pairs.clone().map(|(behind, port)| (behind.to_string(), port.to_string()));
        let cluster = KafkaCluster::start_with(1, &listeners(further), &[]);
        let free = pairs.map(|(behind, port)| Proxy::start(port, behind)).collect();
        Proxied { cluster, free: Mutex::new(free) }
    }
}

/// The server properties of further listeners: each has a port, and that of the proxy before it.
fn listeners(further: impl Iterator<Item = (String, String)>) -> String {
    let (mut listeners, mut advertised, mut protocols) =
        (String::new(), String::new(), String::new());
    for (index, (behind, port)) in further.enumerate() {
        let _ = write!(listeners, ",BEHIND{index}://127.0.0.1:{behind}");
        let _ = write!(advertised, ",BEHIND{index}://127.0.0.1:{port}");
        let _ = write!(protocols, ",BEHIND{index}:PLAINTEXT");
    }
    format!(
        "num.network.threads=1\n\
         listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@{listeners}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@{advertised}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}\n"
    )
}

impl Proxy {
    /// A proxy that no other test has, and the cluster behind it.
    pub fn with_cluster() -> (Proxy, &'static KafkaCluster) {
        static PROXIED: OnceLock<Proxied> = OnceLock::new();
        let Proxied { cluster, free } = PROXIED.get_or_init(Proxied::start);
        let proxy = free.lock().expect("no panic").pop();
        (proxy.expect("raise PROXIES"), cluster)
    }

    /// A cluster of three brokers, and the proxy before each of them.
    pub fn with_three_brokers() -> ([Proxy; 3], KafkaCluster) {
        // The brokers have the same properties, so a port ends with the number of its node.
        let tens = ports::free(30).div_ceil(10);
        let further = (format!("{tens}@NODE@"), format!("{}@NODE@", tens + 1));
        let cluster = KafkaCluster::start_with(3, &listeners([further].into_iter()), &[]);
        let proxies = [1, 2, 3].map(|node| Proxy::start(10 * (tens + 1) + node, 10 * tens + node));
        (proxies, cluster)
    }

    fn start(port: u16, broker: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let state = Arc::<State>::default();
        std::thread::spawn({
            let state = Arc::clone(&state);
            move || accept(&listener, broker, &state)
        });
        Proxy { state, port }
    }

    /// The address for its clients.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Decides from now on what happens to the requests of its clients.
    pub fn judge(&self, judge: impl FnMut(&Request<'_>) -> Verdict + Send + 'static) {
        *self.state.judge.lock().expect("no panic") = Some(Box::new(judge));
    }

    /// Metadata of this topic, or all if it is empty, list no brokers from now on, as may those of a
    /// broker that has just restarted.
    pub fn hide_brokers(&self, topic: &str) {
        *self.state.hides_brokers.lock().expect("no panic") = Some(topic.into());
    }

    /// Forwards everything from now on, and forgets what is held.
    pub fn reset(&self) {
        *self.state.hides_brokers.lock().expect("no panic") = None;
        *self.state.judge.lock().expect("no panic") = None;
        self.state.held.lock().expect("no panic").clear();
        self.state.delivered.lock().expect("no panic").clear();
    }

    /// Holds the first request that `matches`, and delivers it right before the next one of
    /// `api_key`.
    pub fn delay(
        &self,
        mut matches: impl FnMut(&Request<'_>) -> bool + Send + 'static,
        api_key: i16,
    ) {
        let (mut is_held, mut is_repeated, mut is_delivered) = (false, false, false);
        self.judge(move |request| {
            if !is_held {
                is_held = matches(request);
                return if is_held { Verdict::Hold } else { Verdict::Forward };
            }
            // The transaction that the held request belongs to ends first.
            if !is_repeated {
                is_repeated = request.api_key == END_TXN;
            } else if !is_delivered && request.api_key == api_key {
                is_delivered = true;
                return Verdict::AfterHeld;
            }
            Verdict::Forward
        });
    }

    /// The number of requests that are held.
    pub fn held(&self) -> usize {
        self.state.held.lock().expect("no panic").len()
    }

    /// What the broker answered to requests that were delivered late: the error codes of `EndTxn`,
    /// `None` for others.
    pub fn delivered(&self) -> Vec<Option<i16>> {
        self.state.delivered.lock().expect("no panic").clone()
    }

    /// Delivers what is held, and waits for the answers.
    pub fn deliver(&self) {
        self.state.deliver();
    }

    /// The number of metadata that have listed no brokers.
    pub fn without_brokers(&self) -> usize {
        self.state.without_brokers.load(Ordering::Relaxed)
    }
}

impl State {
    fn judge(&self, request: &Request<'_>) -> Verdict {
        let mut judge = self.judge.lock().expect("no panic");
        judge.as_mut().map_or(Verdict::Forward, |judge| judge(request))
    }

    fn hides_brokers(&self, frame: &[u8]) -> bool {
        let hides = self.hides_brokers.lock().expect("no panic");
        let is_in = |it: &[u8]| it.is_empty() || frame.windows(it.len()).any(|part| part == it);
        hides.as_deref().is_some_and(is_in)
    }

    fn deliver(&self) {
        let held = std::mem::take(&mut *self.held.lock().expect("no panic"));
        for Held { frame, mut broker, answers } in held {
            if broker.write_all(&frame).is_err() {
                continue; // the broker was restarted
            }
            let deadline = Instant::now() + ANSWER_TIMEOUT;
            let mut answers = std::iter::from_fn(|| {
                answers.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
            });
            // Both begin with their length. Then comes the correlation id; in a request, the key
            // and the version precede it.
            if let Some(answer) = answers.find(|answer| answer[4..8] == frame[8..12]) {
                let is_end = int16(&frame, 4) == END_TXN;
                let code = is_end.then(|| int16(&answer, 12)); // behind the throttle time
                self.delivered.lock().expect("no panic").push(code);
            }
        }
    }
}

fn accept(listener: &TcpListener, broker: u16, state: &Arc<State>) {
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        // While the broker is down the client sees a closed connection.
        let Ok(broker) = TcpStream::connect(("127.0.0.1", broker)) else { continue };
        let _ = (client.set_nodelay(true), broker.set_nodelay(true));
        let (Ok(to_client), Ok(from_broker)) = (client.try_clone(), broker.try_clone()) else {
            continue;
        };
        let state = Arc::clone(state);
        let (unread, answers) = mpsc::channel();
        let (asked, metadata) = mpsc::channel();
        std::thread::spawn({
            let state = Arc::clone(&state);
            move || forward_requests(client, broker, answers, &asked, &state)
        });
        std::thread::spawn(move || {
            forward_answers(from_broker, to_client, &metadata, &unread, &state);
        });
    }
}

fn forward_requests(
    mut client: TcpStream,
    mut broker: TcpStream,
    answers: Receiver<Vec<u8>>,
    asked: &Sender<Vec<u8>>,
    state: &State,
) {
    while let Ok(frame) = read_frame(&mut client) {
        let request = request(&frame);
        if let Some(Request { api_key: METADATA, correlation_id, .. }) = request
            && state.hides_brokers(&frame)
        {
            let _ = asked.send(correlation_id.to_vec());
        }
        match request.map_or(Verdict::Forward, |request| state.judge(&request)) {
            Verdict::Forward => {}
            Verdict::Late(time) => std::thread::sleep(time),
            Verdict::AfterHeld => state.deliver(),
            Verdict::Swallow => continue,
            Verdict::Hold => {
                // First held, then cut off: the client repeats it at once.
                state.held.lock().expect("no panic").push(Held { frame, broker, answers });
                let _ = client.shutdown(Shutdown::Both);
                return;
            }
        }
        if broker.write_all(&frame).is_err() {
            break;
        }
    }
    let _ = (client.shutdown(Shutdown::Both), broker.shutdown(Shutdown::Both));
}

/// Hides the brokers in the answers to `metadata`.
fn forward_answers(
    mut broker: TcpStream,
    mut client: TcpStream,
    metadata: &Receiver<Vec<u8>>,
    unread: &Sender<Vec<u8>>,
    state: &State,
) {
    let mut without = Vec::new();
    while let Ok(mut frame) = read_frame(&mut broker) {
        without.extend(metadata.try_iter());
        if without.iter().any(|id: &Vec<u8>| frame[4..8] == id[..]) {
            hide_brokers(&mut frame);
            state.without_brokers.fetch_add(1, Ordering::Relaxed);
        }
        if client.write_all(&frame).is_err() {
            let _ = unread.send(frame); // read only if a request is held
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// A frame with its length.
fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let size = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
    let mut frame = vec![0; 4 + size];
    frame[..4].copy_from_slice(&length);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// Removes the brokers from metadata of version 9 or later. The length, the correlation id, the
/// tags of the header and the throttle time precede them. They begin with their count plus one;
/// then each has its id, host, port, rack and tags.
fn hide_brokers(frame: &mut Vec<u8>) {
    const BROKERS: usize = 4 + 4 + 1 + 4;
    let mut end = BROKERS + 1;
    for _ in 1..frame[BROKERS] {
        let host = end + 4;
        let rack = host + usize::from(frame[host]) + 4;
        end = rack + usize::from(frame[rack]).max(1) + 1;
    }
    frame.splice(BROKERS..end, [1]);
    let size = u32::try_from(frame.len() - 4).expect("a small frame");
    frame[..4].copy_from_slice(&size.to_be_bytes());
}

/// The request in a frame if it names its client. The length precedes the key, the version, the
/// correlation id and the client id.
fn request(frame: &[u8]) -> Option<Request<'_>> {
    let length = usize::try_from(int16(frame, 12)).ok()?;
    Some(Request {
        api_key: int16(frame, 4),
        correlation_id: &frame[8..12],
        body: &frame[14 + length..],
    })
}

fn int16(frame: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(frame[at..at + 2].try_into().expect("two bytes"))
}
