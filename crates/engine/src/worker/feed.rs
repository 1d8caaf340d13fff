//! Replicas among the sessions: what they are sent next.

use super::Worker;
use crate::replication::replicas::Fed;

impl Worker {
    /// Gives each replica whose last bytes are sent the next ones.
    #[cold]
    pub(super) fn feed(&mut self) {
        let node = &self.node;
        for at in (0..self.feeding.len()).rev() {
            let index = self.feeding[at];
            let Some(session) = self.sessions.get(index).filter(|session| session.fed) else {
                self.feeding.swap_remove(at);
                continue;
            };
            if session.ended && !session.client.closing {
                // One that sends nothing more takes nothing more: what it was sent last may wait in its socket for ever.
                session.client.closing = true;
                self.driver.close(session.token, true);
                continue;
            }
            let Some(replica) = session.client.replica.clone() else { continue };
            if session.client.closing || session.sending_bytes > 0 || !session.out.is_empty() {
                continue;
            }
            let mut fed = replica.fill(node, session.out.buffer());
            if let Fed::Nothing(Some(position)) = fed {
                // Either the log sees that it is to wake this worker, or this worker sees what came meanwhile.
                node.replication.replicas.set_hungry(self.id);
                if node.log.offset() > position {
                    fed = replica.fill(node, session.out.buffer());
                }
            }
            let token = session.token;
            let over = fed == Fed::Close;
            if session.has_out(over) {
                let buffer = session.take_out(over);
                self.sessions.traffic.output_bytes += buffer.len() as u64;
                match fed {
                    Fed::Sent => self.driver.send_followed(token, buffer),
                    _ => self.driver.send(token, buffer),
                }
            }
            if over {
                if let Some(session) = self.sessions.get(index) {
                    session.client.closing = true;
                }
                self.driver.close(token, false);
            }
        }
    }
}
