//! What a join, a leave, a publish and the encoding of an event take, without a socket.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use headcount::{Ending, Event, Name, Presence, Rooms, Subscription};

/// How many are there when one more comes.
const CROWDS: [usize; 3] = [0, 100, 10_000];

/// Longer than any room pauses after a publish to such a crowd.
const PAUSE: Duration = Duration::from_secs(1);

type Visitor = (Presence, Subscription);

fn join(rooms: &Rooms) -> Visitor {
    let joined = rooms.join(&Name::default(), Ending::default());
    joined.expect("one room is not too many")
}

fn crowd(size: usize) -> (Rooms, Vec<Visitor>) {
    let rooms = Rooms::default();
    let crowd = (0..size).map(|_| join(&rooms)).collect();
    (rooms, crowd)
}

/// What is joined here is dropped outside the time that is taken, and the other way
/// round. Without a runtime there is no pause: each change is told, to a crowd of which
/// nobody waits at the moment.
fn changes(criterion: &mut Criterion) {
    for (name, is_join) in [("join", true), ("leave", false)] {
        let mut group = criterion.benchmark_group(name);
        for size in CROWDS {
            let (rooms, _crowd) = crowd(size);
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                if is_join {
                    bencher.iter_batched(|| (), |()| join(&rooms), BatchSize::PerIteration);
                } else {
                    bencher.iter_batched(|| join(&rooms), drop, BatchSize::PerIteration);
                }
            });
        }
        group.finish();
    }
}

/// A join is told to people who wait to be told, each in a task of its own, until the
/// last of them knows. The clock of the runtime stands still but between the rounds,
/// when it leaps over the pause that follows a publish.
fn publish(criterion: &mut Criterion) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    let mut group = criterion.benchmark_group("publish");
    for size in CROWDS {
        let rooms = Rooms::default();
        let told = Arc::new(Told::default());
        let crowd: Vec<_> = runtime.block_on(async {
            (0..size).map(|_| tokio::spawn(told.clone().follow(join(&rooms), size))).collect()
        });
        let mut rounds = |rounds: u64| {
            runtime.block_on(async {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    tokio::time::advance(PAUSE).await;
                    told.joins.store(0, Relaxed);
                    let start = Instant::now();
                    let visitor = join(&rooms);
                    all_of(size, &told.joins).await;
                    total += start.elapsed();

                    told.leaves.store(0, Relaxed);
                    drop(visitor);
                    tokio::time::advance(PAUSE).await;
                    all_of(size, &told.leaves).await;
                }
                total
            })
        };
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_custom(&mut rounds);
        });
        crowd.iter().for_each(tokio::task::JoinHandle::abort);
    }
    group.finish();
}

/// How many were told that a visitor came, and that they left.
#[derive(Default)]
struct Told {
    joins: AtomicUsize,
    leaves: AtomicUsize,
}

impl Told {
    async fn follow(self: Arc<Self>, (_presence, mut subscription): Visitor, size: usize) {
        loop {
            let of_a_join = subscription.changed().await.count() > size;
            let told = if of_a_join { &self.joins } else { &self.leaves };
            told.fetch_add(1, Relaxed);
        }
    }
}

async fn all_of(size: usize, told: &AtomicUsize) {
    while told.load(Relaxed) < size {
        tokio::task::yield_now().await;
    }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for count in [3, 18_000] {
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| Event::new(black_box(count)));
        });
    }
    group.finish();
}

criterion_group!(benches, changes, publish, encode);
criterion_main!(benches);
