//! A room's number as it changes, for code that has the registry. It involves no HTTP stream,
//! and nobody is counted.

use async_stream::stream;
use tokio_stream::Stream;

use crate::name::Name;
use crate::rooms::{Rooms, TooManyRooms};

impl Rooms {
    /// How many people are in the room `name`: first the number now, and then each number that
    /// the room tells and that differs from the last. The stream has no end.
    ///
    /// It counts nobody, but it keeps the room while it lives, even if the room is empty: a
    /// room that is watched counts towards the limit on rooms. A slow reader misses numbers
    /// in between, never the newest.
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// use headcount::{Ending, Name, Rooms};
    /// use tokio_stream::StreamExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let rooms = Rooms::default();
    /// let mut numbers = pin!(rooms.watch(&Name::default())?);
    /// assert_eq!(numbers.next().await, Some(0));
    ///
    /// let visitor = rooms.join(&Name::default(), Ending::default())?;
    /// assert_eq!(numbers.next().await, Some(1));
    /// drop(visitor);
    /// assert_eq!(numbers.next().await, Some(0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TooManyRooms`] if the room doesn't exist and the limit on rooms is reached.
    pub fn watch(
        &self,
        name: &Name,
    ) -> Result<impl Stream<Item = usize> + Send + use<>, TooManyRooms> {
        let (observer, mut heard) = self.observe(name)?;
        Ok(stream! {
            // Named here, so that the stream owns it before the first number is asked for.
            let _observer = observer;
            yield heard.told().count();
            loop {
                yield heard.changed().await.count();
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::{sleep, timeout};
    use tokio_stream::StreamExt;

    use crate::ending::Ending;
    use crate::presence::Presence;
    use crate::room::Subscription;

    fn join(rooms: &Rooms) -> (Presence, Subscription) {
        rooms.join(&Name::default(), Ending::default()).expect("a room")
    }

    async fn next(numbers: &mut (impl Stream<Item = usize> + Unpin)) -> Option<usize> {
        timeout(Duration::from_secs(10), numbers.next()).await.expect("a number soon")
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_is_told_as_it_is_and_then_each_time_that_it_changes() {
        let rooms = Rooms::default();
        let first = join(&rooms);
        let mut numbers = pin!(rooms.watch(&Name::default()).expect("a room"));
        assert_eq!(next(&mut numbers).await, Some(1));
        let second = join(&rooms);
        assert_eq!(next(&mut numbers).await, Some(2));
        drop((first, second));
        assert_eq!(next(&mut numbers).await, Some(1));
        assert_eq!(next(&mut numbers).await, Some(0));
        let _third = join(&rooms);
        assert_eq!(next(&mut numbers).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_gets_the_newest_number_last() {
        let rooms = Rooms::default();
        let mut numbers = pin!(rooms.watch(&Name::default()).expect("a room"));
        assert_eq!(next(&mut numbers).await, Some(0));
        let crowd: Vec<_> = (0..1000).map(|_| join(&rooms)).collect();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(next(&mut numbers).await, Some(crowd.len()));
    }

    #[test]
    fn a_room_is_kept_while_it_is_watched_and_no_longer() {
        let rooms = Rooms::default();
        let numbers = rooms.watch(&Name::default()).expect("a room");
        drop(join(&rooms));
        assert_eq!(rooms.len(), 1);
        drop(numbers);
        assert!(rooms.is_empty());
    }
}
