//! What a request and its answer change in what is known.

use super::arrivals::{Arrivals, passed};
use super::bounds::{Breach, NAME_MAX};
use super::event::{Asked, Dropped};
use super::expression::Writer;
use super::naming;
use super::pending::Open;
use super::text::{Text, shortened};
use super::window::SEQ_MAX;
use super::{Conversation, Side};
use crate::head::Head;
use crate::ids::trim;
use crate::message::{Boxed, ObjectId, Owner, Request};

impl Conversation {
    pub(super) fn may_ask(&mut self, from: Side, seq: u64) -> Result<(), Breach> {
        let most = self.limits.open;
        let party = self.party(from);
        if party.open.len() >= most {
            return Err(Breach::TooManyOpen);
        }
        let fresh = match (seq.checked_sub(SEQ_MAX), &mut party.relay) {
            (Some(number), Some(relay)) => relay.take(number),
            _ => party.window.take(seq),
        };
        match fresh {
            true => Ok(()),
            false => Err(Breach::Seq(seq)),
        }
    }

    pub(super) fn within_text(&self) -> Result<(), Breach> {
        let objects = self.client.objects.text_bytes + self.server.objects.text_bytes;
        match objects + self.open_text > self.limits.text {
            true => Err(Breach::TooMuchText),
            false => Ok(()),
        }
    }

    pub(super) fn ask(
        &mut self,
        from: Side,
        head: Head,
        request: &Request<'_>,
        size: usize,
    ) -> Result<Asked<'_>, Breach> {
        self.may_ask(from, head.seq)?;
        let class = request.target().map_or(0, |id| id.name.len());
        if naming::method(request).len().max(class) > NAME_MAX {
            return Err(Breach::LongName);
        }
        let (own, theirs) = match from {
            Side::Client => (&mut self.client.objects, &mut self.server.objects),
            Side::Server => (&mut self.server.objects, &mut self.client.objects),
        };
        let target = request.target().and_then(|id| theirs.find(&id));
        let known = target.and_then(|slot| theirs.get(slot));
        let subject = naming::subject(from, request, known, &mut self.names);
        let mut text = Text::new();
        let args = Writer {
            asker: from,
            text: &mut text,
            theirs,
            own,
        }
        .request(request);

        let mut open = Open::new(request.handler(), subject, text, args, request.form(), size);
        if let Request::Del { count, .. } = request
            && let Some(slot) = target
        {
            let open_requests = theirs.named(slot);
            let last = theirs
                .begin_drop(slot, *count)
                .map_err(|_| Breach::DropTooMany)?;
            open.drops = Some((
                slot,
                *count,
                Dropped {
                    last,
                    open_requests,
                },
            ));
        } else if let Some(slot) = target {
            theirs.name(slot);
            open.names(slot);
        }

        let mut full = Ok(());
        let mut first = true;
        let names = &mut self.names;
        let mut on = |owner, id: ObjectId<'_>| {
            // The target comes first.
            let is_target = std::mem::take(&mut first) && request.target().is_some();
            match owner {
                Owner::Receiver => match theirs.find(&id).or(target.filter(|_| is_target)) {
                    Some(_) if is_target => {}
                    Some(slot) => {
                        theirs.name(slot);
                        open.names(slot);
                    }
                    None => open.unknown += 1,
                },
                Owner::Sender => {
                    full = full.and(passed(own, &id, open.callee(), names));
                }
            }
        };
        request.references(&mut on);
        full?;
        self.opened(from, head, open)
    }

    pub(super) fn opened(
        &mut self,
        from: Side,
        head: Head,
        mut open: Open,
    ) -> Result<Asked<'_>, Breach> {
        let seq = head.seq;
        open.threads = head.threads;
        self.open_text += open.cost();
        self.within_text()?;
        let open = self
            .party(from)
            .open
            .entry(seq)
            .insert_entry(open)
            .into_mut();
        Ok(Asked {
            asker: from,
            seq,
            open,
        })
    }

    /// The request that a message of `from` answers.
    pub(super) fn close(&mut self, from: Side, seq: u64, done: bool) -> Result<Open, Breach> {
        let asker = from.other();
        let requests = &mut self.party(asker).open;
        let open = requests.remove(&seq).ok_or(Breach::Unasked(seq))?;
        trim(requests);
        self.settle(asker, &open, done);
        Ok(open)
    }

    /// Undoes what an open request has noted.
    pub(super) fn settle(&mut self, asker: Side, open: &Open, done: bool) {
        self.open_text -= open.cost();
        let theirs = &mut self.party(asker.other()).objects;
        open.named().for_each(|slot| theirs.unname(slot));
        if let Some((slot, count, _)) = open.drops {
            theirs.end_drop(slot, count, done);
        }
    }

    /// Takes note of what a reply refers to. Gives how many references are unknown.
    pub(super) fn returned(
        &mut self,
        from: Side,
        open: &Open,
        result: &Boxed<'_>,
    ) -> Result<usize, Breach> {
        let mut arrivals = Arrivals {
            open,
            is_server: from == Side::Server,
            module_type: &mut self.module_type,
            names: &mut self.names,
            unknown: 0,
        };
        let (theirs, own) = match from {
            Side::Client => (&mut self.client.objects, &self.server.objects),
            Side::Server => (&mut self.server.objects, &self.client.objects),
        };
        match result {
            Boxed::Plain(_) => {}
            Boxed::Remote(id) => arrivals.object(theirs, id)?,
            Boxed::Local(id) => arrivals.returns(own, id),
            Boxed::Tuple(_) => {
                let text = shortened(&open.expression);
                arrivals.items(theirs, own, result, &text)?;
            }
        }
        let unknown = arrivals.unknown;
        self.within_text()?;
        Ok(unknown)
    }
}
