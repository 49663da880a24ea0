//! The way down to one peer.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::Status;

use crate::fleet::Cut;

/// Commands as wire messages. Ends with them, or earlier with a last word that says why.
///
/// A last word is said before the owner hears of it and ends the commands; so it is looked for once more at
/// their end. It must not keep the stream open: the owner's way of telling a peer to go is to end its commands.
#[derive(Debug)]
pub(super) struct Down<C, W> {
    commands: mpsc::Receiver<C>,
    last_word: mpsc::Receiver<Status>,
    cut: Cut,
    over: bool,
    wire: PhantomData<fn() -> W>,
}

impl<C, W> Down<C, W> {
    pub(super) fn new(commands: mpsc::Receiver<C>, last_word: mpsc::Receiver<Status>, cut: Cut) -> Self {
        Self { commands, last_word, cut, over: false, wire: PhantomData }
    }
}

impl<C: Into<W>, W> Stream for Down<C, W> {
    type Item = Result<W, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(Some(status)) = self.last_word.poll_recv(cx) {
            self.over = true;
            return Poll::Ready(Some(Err(status)));
        }
        match self.commands.poll_recv(cx) {
            Poll::Ready(Some(command)) => Poll::Ready(Some(Ok(command.into()))),
            Poll::Ready(None) => {
                self.over = true;
                let word = self.last_word.try_recv().ok();
                Poll::Ready(word.or_else(|| self.cut.get().map(Status::unavailable)).map(Err))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Outbox;
    use tokio_stream::StreamExt as _;

    #[tokio::test]
    async fn it_ends_with_the_commands_though_a_last_word_could_still_come() {
        let (commands, rx) = mpsc::channel::<u8>(1);
        let (_last_word, word) = mpsc::channel(1);
        let mut down = Down::<u8, u32>::new(rx, word, Cut::default());
        commands.send(7).await.expect("room");
        assert_eq!(down.next().await.expect("a command").expect("no status"), 7);
        drop(commands);
        assert!(down.next().await.is_none());
    }

    #[tokio::test]
    async fn a_way_down_that_is_cut_breaks_with_the_reason() {
        let (mut outbox, commands) = Outbox::new();
        let (_last_word, word) = mpsc::channel(1);
        let mut down = Down::<u8, u32>::new(commands, word, outbox.when_cut());
        assert!(outbox.send(7));
        outbox.cut("given up");
        assert!(outbox.is_over() && !outbox.send(8));
        assert_eq!(down.next().await.expect("a command").expect("no status"), 7);
        let status = down.next().await.expect("a word").expect_err("a status");
        assert_eq!((status.code(), status.message()), (tonic::Code::Unavailable, "given up"));
        assert!(down.next().await.is_none());
    }

    #[tokio::test]
    async fn a_last_word_ends_it_and_is_not_missed_at_the_end_of_the_commands() {
        let (commands, rx) = mpsc::channel::<u8>(1);
        let (last_word, word) = mpsc::channel(1);
        let mut down = Down::<u8, u32>::new(rx, word, Cut::default());
        last_word.send(Status::invalid_argument("no")).await.expect("room");
        drop(commands);
        assert_eq!(down.next().await.expect("a word").expect_err("a status").message(), "no");
        assert!(down.next().await.is_none());
    }
}
