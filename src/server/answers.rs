//! The answers of one HTTP/2 connection: how many are under way, and how long each may
//! take.
//!
//! If a client opens no window for an answer, the answer stays with us, and hyper waits. So
//! each answer is run by a task of ours, which can give it up; dropping hyper's part
//! resets the stream.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::Response;
use hyper::rt::Executor;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::carrier::FAREWELL;
use super::gate::{Pass, Standing};
use super::serving::{ANSWER_TIMEOUT, IDLE_TIMEOUT};
use crate::http::Opened;

/// How many answers of a connection are made at a time. Other requests wait for their turn.
const TURNS: usize = 8;

/// An answer that was not taken for this long is given up if others wait for a turn: a client
/// that takes what it asked for is quicker.
const SHORT_WAIT: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// How the answer that a task runs says that it is a stream.
    static STREAMING: RefCell<Option<oneshot::Sender<Opened>>>;
}

/// Runs hyper's future for each request.
#[derive(Clone)]
pub(super) struct Answers(Arc<Activity>);

/// What is going on in a connection.
pub(super) struct Activity {
    requests: Mutex<Requests>,
    /// Notified when the last open request has ended.
    ended: Notify,
    turns: Arc<Semaphore>,
}

struct Requests {
    pass: Box<Pass>,
    /// Answers that are not streams, or not known to be streams yet.
    answers: usize,
    streams: usize,
    /// When the last one began or ended.
    changed: Instant,
}

/// A request, until its whole answer was taken.
struct Open {
    activity: Arc<Activity>,
    is_stream: bool,
}

impl Answers {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        Self(activity.clone())
    }
}

impl<F> Executor<F> for Answers
where
    F: Future + Send + 'static,
{
    fn execute(&self, answer: F) {
        let (is_stream, streaming) = oneshot::channel();
        let open = Open::new(&self.0);
        tokio::spawn(STREAMING.scope(RefCell::new(Some(is_stream)), async move {
            let Ok(turn) = open.activity.turns.clone().acquire_owned().await else { return };
            tokio::select! {
                _ = answer => {}
                () = open.overdue(streaming, turn) => {}
            }
        }));
    }
}

/// Answers a request, within one of [`Answers`]' tasks.
pub(super) async fn answering(
    answer: impl Future<Output = Result<Response, Infallible>>,
) -> Result<Response, Infallible> {
    let response = answer.await?;
    if let Some(opened) = response.extensions().get::<Opened>()
        && let Some(is_stream) = STREAMING.with(RefCell::take)
    {
        let _it_is_awaited = is_stream.send(opened.clone());
    }
    Ok(response)
}

impl Activity {
    pub(super) fn new(pass: Box<Pass>) -> Self {
        let requests = Requests { pass, answers: 0, streams: 0, changed: Instant::now() };
        let turns = Arc::new(Semaphore::new(TURNS));
        Self { requests: Mutex::new(requests), ended: Notify::new(), turns }
    }

    /// Waits until no request has been open for as long as is allowed. The clock doesn't run
    /// while one is open.
    pub(super) async fn idle(&self) {
        loop {
            let idle_since = self.requests().idle_since();
            match idle_since.map(|since| since + IDLE_TIMEOUT) {
                None => self.ended.notified().await,
                Some(until) if until <= Instant::now() => return,
                Some(until) => sleep_until(until).await,
            }
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests {
    /// Since when no request has been open; `None` while one is.
    fn idle_since(&self) -> Option<Instant> {
        (self.answers + self.streams == 0).then_some(self.changed)
    }

    fn change(&mut self) {
        self.changed = Instant::now();
        self.pass.stand(match (self.streams, self.answers) {
            (0, 0) => Standing::Idle,
            (0, _) => Standing::Busy,
            _ => Standing::Streaming,
        });
    }
}

impl Open {
    fn new(activity: &Arc<Activity>) -> Self {
        let mut requests = activity.requests();
        requests.answers += 1;
        requests.change();
        Self { activity: activity.clone(), is_stream: false }
    }

    /// Waits until the answer must be given up. A stream may last, and has a little more time
    /// when it is over.
    async fn overdue(mut self, streaming: oneshot::Receiver<Opened>, turn: OwnedSemaphorePermit) {
        // Both waits are boxed, so that a stream takes no memory for them while it lasts.
        let Some(opened) = Box::pin(self.until_a_stream(streaming)).await else { return };
        drop(turn);
        self.is_a_stream();
        poll_fn(|cx| opened.poll_over(cx)).await;
        Box::pin(sleep(FAREWELL)).await;
    }

    /// Waits until the answer turns out to be a stream; `None` if it must be given up.
    async fn until_a_stream(&self, mut streaming: oneshot::Receiver<Opened>) -> Option<Opened> {
        let asked = Instant::now();
        loop {
            match timeout(SHORT_WAIT, &mut streaming).await {
                Ok(Ok(opened)) => return Some(opened),
                // The task has ended with its answer.
                Ok(Err(_)) => return pending().await,
                Err(_) if self.activity.requests().answers > TURNS => return None,
                Err(_) if asked.elapsed() >= ANSWER_TIMEOUT => return None,
                Err(_) => {}
            }
        }
    }

    fn is_a_stream(&mut self) {
        self.is_stream = true;
        let mut requests = self.activity.requests();
        requests.answers -= 1;
        requests.streams += 1;
        requests.change();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut requests = self.activity.requests();
        if self.is_stream {
            requests.streams -= 1;
        } else {
            requests.answers -= 1;
        }
        requests.change();
        let is_last = requests.idle_since().is_some();
        drop(requests);
        if is_last {
            self.activity.ended.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gate::Gate;
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};
    use std::pin::pin;

    use tokio_util::sync::CancellationToken;

    use crate::ending::Ending;
    use crate::limits::Limits;
    use crate::name::Name;
    use crate::rooms::Rooms;
    use crate::stream::{Extras, Kind, Patience, Streams, Terms, Wish};

    fn activity() -> Arc<Activity> {
        let gate = Gate::new(1, None, Vec::new(), Arc::default());
        let entered = gate.enter(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("there is room");
        Arc::new(Activity::new(entered.pass))
    }

    fn streams() -> (Streams, CancellationToken) {
        let drain = CancellationToken::new();
        let terms = Terms {
            keep_alive: Duration::from_secs(15),
            patience: Patience::new(ANSWER_TIMEOUT * 100, ANSWER_TIMEOUT * 100),
            max_age: None,
            drain: drain.clone(),
            drain_spread: Duration::ZERO,
        };
        let limits = Limits::new(usize::MAX, None, None);
        (Streams::new(Rooms::default(), limits, terms), drain)
    }

    fn open(activity: &Activity) -> usize {
        let requests = activity.requests();
        requests.answers + requests.streams
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_nothing_was_open_for_the_time_allowed() {
        let activity = activity();
        let start = Instant::now();
        let (first, second) = (Open::new(&activity), Open::new(&activity));
        let requests = tokio::spawn(async move {
            sleep(Duration::from_secs(100)).await;
            drop(first);
            sleep(Duration::from_secs(20)).await;
            drop(second);
        });
        timeout(Duration::from_secs(1000), activity.idle()).await.expect("it is idle at last");
        requests.await.expect("no panic");
        let closed = start.elapsed().as_secs();
        assert_eq!(closed, 120 + 30);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_done_for_a_connection_while_it_has_a_stream() {
        let activity = activity();
        let (mut polls, stream) = (0, Open::new(&activity));
        let mut idle = pin!(activity.idle());
        let idle = poll_fn(|cx| {
            polls += 1;
            idle.as_mut().poll(cx)
        });
        assert!(timeout(Duration::from_secs(24 * 3600), idle).await.is_err());
        assert!(polls <= 3, "it was woken {polls} times");
        drop(stream);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_now_and_then_keeps_a_connection() {
        let activity = activity();
        for _ in 0..100 {
            let idle = timeout(Duration::from_secs(29), activity.idle()).await;
            assert!(idle.is_err());
            drop(Open::new(&activity));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_given_up_sooner_if_others_wait() {
        let activity = activity();
        let answers = Answers::new(&activity);
        for _ in 0..3 * TURNS {
            answers.execute(pending::<()>());
        }
        for seconds in 0..2 {
            sleep(SHORT_WAIT - Duration::from_millis(10)).await;
            assert_eq!(open(&activity), (3 - seconds) * TURNS);
            sleep(Duration::from_millis(20)).await;
            assert_eq!(open(&activity), (2 - seconds) * TURNS);
        }
        sleep(ANSWER_TIMEOUT - Duration::from_millis(100)).await;
        assert_eq!(open(&activity), TURNS);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(open(&activity), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_made_in_turns() {
        let activity = activity();
        let answers = Answers::new(&activity);
        let made = Arc::new(Mutex::new(0));
        for _ in 0..3 * TURNS {
            let made = made.clone();
            answers.execute(async move {
                *made.lock().expect("no panic") += 1;
                sleep(SHORT_WAIT / 10).await;
            });
        }
        for turn in 1..=3 {
            sleep(SHORT_WAIT / 20).await;
            assert_eq!(*made.lock().expect("no panic"), turn * TURNS);
            sleep(SHORT_WAIT / 20).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_may_last_and_ends_soon_after_it_is_over() {
        let activity = activity();
        let (streams, drain) = streams();
        let wish = Wish {
            rooms: &[Name::default()],
            address: None,
            ending: Ending::default(),
            kind: Kind::Observer,
            wants: Extras::default(),
        };
        let stream = streams.open(wish).await.unwrap_or_else(|why| panic!("{why:?}"));
        let mut response = Response::default();
        response.extensions_mut().insert(Opened::new(stream));
        Answers::new(&activity).execute(async move {
            let _answered = answering(async { Ok(response) }).await;
            pending::<()>().await;
        });
        sleep(10 * ANSWER_TIMEOUT).await;
        assert_eq!(open(&activity), 1);
        drain.cancel();
        sleep(FAREWELL + Duration::from_millis(10)).await;
        assert_eq!(open(&activity), 0);
    }
}
