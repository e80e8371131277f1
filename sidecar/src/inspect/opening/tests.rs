use std::future::{pending, ready};
use std::task::Waker;

use rpyc::Family::{Classic, Six};
use tokio::sync::oneshot;

use super::*;

/// `GETROOT`, which is asked for by either end.
fn request(family: Family) -> Vec<u8> {
    rpyc::frame::encode(match family {
        Classic => b"\x12\x51\x50\x11\x53\x11\x51\x02",
        Six => b"\x01\x11\x50\x11\x53\x11\x51\x02",
    })
}

/// A session of which nothing was taken yet.
struct Session<'a> {
    opening: Opening<'a>,
    client: (Lane, bool),
    houdini: (Lane, bool),
}

impl<'a> Session<'a> {
    fn new(asking: impl Future<Output = Option<Family>> + Send + 'a) -> Self {
        let lane = || (Lane::new(1 << 20), false);
        Self {
            opening: Opening::new(asking),
            client: lane(),
            houdini: lane(),
        }
    }

    fn client_sends(&mut self, bytes: &[u8]) {
        self.client.0.input.extend_from_slice(bytes);
    }

    fn houdini_sends(&mut self, bytes: &[u8]) {
        self.houdini.0.input.extend_from_slice(bytes);
    }

    fn poll(&mut self) -> Poll<(Option<Family>, Option<Family>)> {
        let mut cx = Context::from_waker(Waker::noop());
        let (client, houdini) = (&self.client, &self.houdini);
        self.opening
            .poll(&mut cx, (&client.0, client.1), (&houdini.0, houdini.1))
    }
}

#[test]
fn a_houdini_that_is_known_waits_for_the_first_words_only() {
    let mut session = Session::new(ready(Some(Six)));
    assert_eq!(session.poll(), Poll::Pending);
    for byte in request(Classic) {
        session.client_sends(&[byte]);
    }
    assert_eq!(session.poll(), Poll::Ready((Some(Classic), Some(Six))));
}

#[test]
fn the_first_words_wait_until_houdini_has_answered() {
    for (told, houdini) in [(Some(Six), Six), (Some(Classic), Classic), (None, Classic)] {
        let (tell, asked) = oneshot::channel();
        let mut session = Session::new(async { asked.await.unwrap() });
        session.client_sends(&request(Classic));
        assert_eq!(session.poll(), Poll::Pending);
        tell.send(told).unwrap();
        assert_eq!(session.poll(), Poll::Ready((Some(Classic), Some(houdini))));
    }
}

#[test]
fn a_houdini_that_speaks_first_need_not_be_asked() {
    let mut session = Session::new(pending());
    session.houdini_sends(&request(Six));
    assert_eq!(session.poll(), Poll::Pending, "for whom to translate it?");
    session.client_sends(&request(Classic));
    assert_eq!(session.poll(), Poll::Ready((Some(Classic), Some(Six))));
}

#[test]
fn what_houdini_shows_counts_for_more_than_what_was_known() {
    let mut session = Session::new(ready(Some(Classic)));
    session.client_sends(&request(Classic));
    assert_eq!(session.poll(), Poll::Ready((Some(Classic), Some(Classic))));
    session.houdini_sends(&request(Six));
    assert_eq!(session.poll(), Poll::Ready((Some(Classic), Some(Six))));
    // What was taken out of the lanes stays known.
    session.client.0.input.clear();
    session.houdini.0.input.clear();
    assert_eq!(session.poll(), Poll::Ready((Some(Classic), Some(Six))));
}

#[test]
fn what_is_no_rpyc_and_an_end_are_not_waited_for() {
    for (bytes, ended) in [(&b"\0\0\0\0\0\n"[..], false), (b"", true)] {
        let mut client = Session::new(pending());
        client.client_sends(bytes);
        client.client.1 = ended;
        assert_eq!(client.poll(), Poll::Ready((None, None)), "the client");
        let mut houdini = Session::new(pending());
        houdini.houdini_sends(bytes);
        houdini.houdini.1 = ended;
        assert_eq!(houdini.poll(), Poll::Ready((None, None)), "Houdini");
        houdini.client_sends(&request(Six));
        assert_eq!(houdini.poll(), Poll::Ready((Some(Six), Some(Six))));
    }
}

#[test]
fn a_direction_that_never_shows_a_head_is_not_looked_at_for_ever() {
    let mut session = Session::new(pending());
    // A compressed frame: empty blocks of zlib have no end, and no head either.
    let blocks = [&[0x78, 0x01][..], &[0, 0, 0, 0xff, 0xff].repeat(2000)].concat();
    session.client_sends(&[&[0, 1, 0, 0, 1], &blocks[..]].concat());
    assert_eq!(session.poll(), Poll::Ready((None, None)));
}
