//! A link to Redis: one connection, over which frames are heard and commands answered.
//!
//! It is never mended. Whoever has it opens another one.

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

/// How long a link may take until it is open.
const OPEN: Duration = Duration::from_millis(2500);

/// How often a Redis Cluster may send us on.
const REDIRECTIONS: usize = 3;

/// How long a node that is new lets the others go first who may have lost Redis for a moment,
/// and have clients with tokens: longer than they take to come back.
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
    /// The same, and why it is not what was asked for.
    Failed(Input, LinkError),
    /// Nothing will come any more.
    Lost(LinkError),
}

/// Why Redis did not do as asked.
#[derive(Debug)]
pub(super) enum LinkError {
    Redis(RedisError),
    Malformed(Malformed),
    Late,
    Closed,
}

impl Link {
    /// Opens a link to the server that has our keys, the nth of those that are known or one
    /// that those name, and learns the secret that all nodes share.
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
        // What there is no room for is lost; that is noticed, and all is read anew.
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
                // Whoever is behind catches up with the frames first: an answer says no more.
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

    /// Has a write carried out.
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

    /// Offers the secret again, to a Redis that has lost everything.
    pub(super) fn share_secret(&mut self, inbox: Arc<Inbox>) {
        let (mut connection, prefix) = (self.connection.clone(), self.prefix.clone());
        self.asked.spawn(async move {
            let shared = share_secret(&mut connection, &prefix, &inbox).await;
            heard(shared.map_err(LinkError::from), |_| Input::Time)
        });
    }

    /// Has the nodes listed.
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

    /// Has the hash of a node read.
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

/// Has all nodes take the secret of the first of them that has given tokens out.
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
    /// Whether another link may do better. A server that takes its time has the commands, and
    /// one that has no memory left will say so over any link.
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
