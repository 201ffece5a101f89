//! The end of a link whose place another one took.
//!
//! Two nodes that dial each other at once make two connections, and one stays. Batches may be under
//! way on the other, in both directions: whichever side knows first, its peer goes on sending there
//! until it knows too. Closed at once, a link took acknowledged work with it: the first writes to all
//! replicas after a start were answered *unknown*.

use std::{rc::Rc, time::Duration};

use tokio::{
    task::spawn_local,
    time::{sleep, timeout},
};

use super::{Link, LinkDown};

/// How often a retiring link looks whether its last answer has come.
const LOOK: Duration = Duration::from_millis(10);

impl Link {
    /// Takes no more batches; closes when this side's have been answered and the peer has had the
    /// time of a silence to hear of the other link. Not later than a call may take.
    pub(crate) fn retire(self: &Rc<Self>) {
        if self.retired.replace(true) {
            return;
        }
        let link = Rc::clone(self);
        spawn_local(async move {
            let over = async {
                while link.in_flight_batches.get() > 0 {
                    sleep(LOOK).await;
                }
                sleep(link.config.silence).await;
            };
            tokio::select! {
                biased;
                () = link.ended() => {}
                _ = timeout(link.config.call_time, over) => link.close(LinkDown::Replaced),
            }
        });
    }
}
