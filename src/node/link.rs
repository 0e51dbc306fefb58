//! A link to Redis: one connection, over which frames are heard and commands answered.
//!
//! A broken link is never mended; its owner opens another one.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncCommands, AsyncConnectionConfig, ErrorKind, ExistenceCheck, PushInfo, PushKind,
    RedisError, Script, SetOptions, Value,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::inbox::Inbox;
use super::redis::Redis;
use crate::cluster::frame::Frame;
use crate::cluster::member::Input;
use crate::cluster::place::NodeId;
use crate::cluster::reply::Malformed;
use crate::cluster::share::Snapshot;
use crate::cluster::write::{Answer, Write};
use crate::cluster::{LEASE, LEFT_MEMORY, MEMORY, MOST_FRAMES, script};

/// How long Redis may take to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// How long opening a link may take.
const OPEN: Duration = Duration::from_millis(2500);

/// How often a Redis Cluster may redirect us.
const REDIRECTIONS: usize = 3;

/// How long a new node waits before it offers its secret to a Redis without one. Others that
/// have clients with tokens may have lost Redis briefly, and go first: this is longer than
/// they take to come back.
const DEFERENCE: Duration = Duration::from_millis(500);

static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(script::WRITE));

/// An open link, subscribed to the frames.
pub(super) struct Link {
    connection: MultiplexedConnection,
    frames: mpsc::Receiver<PushInfo>,
    asked: JoinSet<Heard>,
    prefix: String,
}

/// What comes through a link.
pub(super) enum Heard {
    Input(Input),
    /// The input that stands for a failure, and why it failed.
    Failed(Input, LinkError),
    /// Nothing will come any more.
    Lost(LinkError),
}

/// Why Redis did not carry out a command.
#[derive(Debug)]
pub(super) enum LinkError {
    Redis(RedisError),
    Malformed(Malformed),
    Late,
    Closed,
}

impl Link {
    /// Opens a link to the server that has our keys, which is the nth known one or one that it
    /// redirects us to, and learns the secret that all nodes share.
    pub(super) async fn open(redis: &Redis, nth: usize, inbox: &Inbox) -> Result<Self, LinkError> {
        timeout(OPEN, Self::find(redis, nth, inbox)).await.unwrap_or(Err(LinkError::Late))
    }

    async fn find(redis: &Redis, nth: usize, inbox: &Inbox) -> Result<Self, LinkError> {
        let (mut named, mut left) = (None::<String>, REDIRECTIONS);
        loop {
            let error = match Self::reach(redis, nth, named.as_deref(), inbox).await {
                Ok(link) => return Ok(link),
                Err(error) => error,
            };
            match error.redirect_node() {
                Some((node, _)) if left > 0 => named = Some(node.into()),
                _ => return Err(error.into()),
            }
            left -= 1;
        }
    }

    async fn reach(
        redis: &Redis,
        nth: usize,
        named: Option<&str>,
        inbox: &Inbox,
    ) -> Result<Self, RedisError> {
        let (sender, frames) = mpsc::channel(MOST_FRAMES);
        // Frames that don't fit are lost; that is noticed, and everything is read anew.
        let sender = move |push| sender.try_send(push);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(OPEN))
            .set_response_timeout(Some(ANSWER))
            .set_push_sender(sender);
        let client = redis.client(nth, named)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let prefix = redis.prefix().to_owned();

        share_secret(&mut connection, &prefix, inbox).await?;
        connection.subscribe(format!("{prefix}frames")).await?;
        Ok(Self { connection, frames, asked: JoinSet::new(), prefix })
    }

    /// Waits for what comes next. Dropping the future before it is ready loses nothing.
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            let push = tokio::select! {
                // Frames first: a node that is behind learns no more from an answer.
                biased;
                push = self.frames.recv() => push,
                Some(answer) = self.asked.join_next() => match answer {
                    Ok(answer) => return answer,
                    Err(_aborted) => continue,
                },
            };
            match push {
                Some(PushInfo { kind: PushKind::Message, data }) => match frame(&data) {
                    Ok(frame) => return Heard::Input(Input::Frame(Arc::new(frame))),
                    Err(error) => return Heard::Failed(Input::Time, error),
                },
                Some(PushInfo {
                    kind: PushKind::Disconnection | PushKind::Unsubscribe, ..
                })
                | None => return Heard::Lost(LinkError::Closed),
                Some(_) => {}
            }
        }
    }

    /// Sends a write to Redis.
    pub(super) fn write(&mut self, node: NodeId, write: &Write) {
        let (mut connection, prefix, seq) =
            (self.connection.clone(), self.prefix.clone(), write.seq);
        let text = write.to_json(node);
        self.asked.spawn(async move {
            let answer = async {
                let reply: Vec<Vec<u8>> = WRITE
                    .key(format!("{prefix}node:{}", node.0))
                    .arg(&prefix)
                    .arg(millis(LEASE))
                    .arg(millis(MEMORY))
                    .arg(millis(LEFT_MEMORY))
                    .arg(text?)
                    .invoke_async(&mut connection)
                    .await?;
                Ok(Answer::parse(&reply)?)
            };
            heard(answer.await, |answer| Input::Written { seq, answer })
        });
    }

    /// Offers the secret again to a Redis that may have lost it.
    pub(super) fn share_secret(&mut self, inbox: Arc<Inbox>) {
        let (mut connection, prefix) = (self.connection.clone(), self.prefix.clone());
        self.asked.spawn(async move {
            let shared = share_secret(&mut connection, &prefix, &inbox).await;
            heard(shared.map_err(LinkError::from), |_| Input::Time)
        });
    }

    /// Asks for the list of nodes.
    pub(super) fn list(&mut self, catch_up: u64) {
        let (mut connection, prefix) = (self.connection.clone(), self.prefix.clone());
        self.asked.spawn(async move {
            let nodes = async {
                let reply: Vec<Vec<u8>> =
                    connection.zrange(format!("{prefix}nodes"), 0, -1).await?;
                Ok(NodeId::parse_list(&reply)?)
            };
            heard(nodes.await, |nodes| Input::Listed { catch_up, nodes })
        });
    }

    /// Asks for the hash of a node.
    pub(super) fn read(&mut self, catch_up: u64, node: NodeId) {
        let (mut connection, prefix) = (self.connection.clone(), self.prefix.clone());
        self.asked.spawn(async move {
            let snapshot = async {
                let key = format!("{prefix}node:{}", node.0);
                let (remaining, fields): (_, Vec<(Vec<u8>, Vec<u8>)>) =
                    redis::pipe().pttl(&key).hgetall(&key).query_async(&mut connection).await?;
                Ok(Snapshot::parse(remaining, &fields)?)
            };
            heard(snapshot.await, |snapshot| Input::Read { catch_up, node, snapshot })
        });
    }
}

/// Makes all nodes use the secret that the first of them has stored in Redis.
async fn share_secret(
    connection: &mut MultiplexedConnection,
    prefix: &str,
    inbox: &Inbox,
) -> Result<(), RedisError> {
    let key = format!("{prefix}secret");
    if inbox.is_new() && !connection.exists(&key).await? {
        sleep(DEFERENCE).await;
    }
    let own = inbox.secret_bytes();
    let first = SetOptions::default().conditional_set(ExistenceCheck::NX);
    let _is_first: Value = connection.set_options(&key, &own, first).await?;
    let secret: Vec<u8> = connection.get(&key).await?;
    inbox.follow_secret(&secret);
    Ok(())
}

fn frame(data: &[Value]) -> Result<Frame, LinkError> {
    match data {
        [_channel, Value::BulkString(text)] => Ok(Frame::from_json(text)?),
        _ => Err(LinkError::Malformed(Malformed::Reply("subscribe"))),
    }
}

fn heard<T>(answer: Result<T, LinkError>, input: impl FnOnce(Option<T>) -> Input) -> Heard {
    match answer {
        Ok(answer) => Heard::Input(input(Some(answer))),
        Err(error) if error.is_of_link() => Heard::Lost(error),
        Err(error) => Heard::Failed(input(None), error),
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

impl LinkError {
    /// Whether a new link may help. A slow server has the commands already, and one that is out
    /// of memory says so over any link.
    fn is_of_link(&self) -> bool {
        let Self::Redis(error) = self else { return false };
        let says = |code| error.code() == Some(code);
        let is_elsewhere = error.is_cluster_error() || says("READONLY") || says("MASTERDOWN");
        is_elsewhere || (error.kind() == ErrorKind::Io && !error.is_timeout())
    }
}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<Malformed> for LinkError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(error) => error.fmt(f),
            Self::Malformed(error) => error.fmt(f),
            Self::Late => f.write_str("no answer in time"),
            Self::Closed => f.write_str("the connection was closed"),
        }
    }
}
