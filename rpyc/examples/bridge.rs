//! Lets a client of one rpyc family talk to a server of the other, for a test with real ones.
//!
//! `bridge HOST:PORT classic|six` connects each client to the server there, which is of that
//! family. It prints `listening on HOST:PORT`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use hrpyc_rpyc::{Family, FrameError, Inflater, Lane, Next, dialect};

const CAP: usize = 64 << 20;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, family] = &arguments[..] else {
        return Err("usage: bridge HOST:PORT classic|six".into());
    };
    let family = match family.as_str() {
        "classic" => Family::Classic,
        "six" => Family::Six,
        other => return Err(format!("{other} is neither classic nor six").into()),
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    for client in listener.incoming() {
        let (client, server) = (client?, TcpStream::connect(server)?);
        thread::spawn(move || bridge(&client, &server, family));
    }
    Ok(())
}

/// Copies both directions until they have ended. The server is answered in the family that
/// the client's first message is of.
fn bridge(client: &TcpStream, server: &TcpStream, family: Family) {
    let (seen, family_of_client) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let ended = copy(client, server, |from| {
                // Nobody waits for the second one.
                let _ = seen.send(from);
                family
            });
            say(ended, server);
        });
        let mut to = None;
        let ended = copy(server, client, |_| {
            // A server says nothing unasked.
            *to.get_or_insert_with(|| family_of_client.recv().unwrap_or(family))
        });
        say(ended, client);
    });
}

fn say(ended: Result<(), Failure>, sink: &TcpStream) {
    if let Err(failure) = ended {
        eprintln!("{failure}");
    }
    // It may be closed already.
    let _ = sink.shutdown(Shutdown::Write);
}

/// Translates frame by frame; `to` is told each frame's family and gives the wanted one.
fn copy(
    mut source: &TcpStream,
    mut sink: &TcpStream,
    mut to: impl FnMut(Family) -> Family,
) -> Result<(), Failure> {
    let (mut lane, mut inflater) = (Lane::new(CAP), Inflater::new(CAP));
    let mut room = vec![0; 64 * 1024];
    loop {
        let count = source.read(&mut room)?;
        if count == 0 {
            return Ok(());
        }
        lane.input.extend_from_slice(&room[..count]);
        loop {
            let whole = match lane.cut()? {
                Next::Whole(whole) => whole,
                Next::More => break,
                Next::Great { length, .. } => return Err(FrameError::TooBig(length).into()),
                Next::Part(_) => unreachable!("no great frame is let pass"),
            };
            let frame = whole.frame();
            let from = frame.head().ok_or("a frame holds no message")?.family;
            sink.write_all(&dialect::translate(&frame, to(from), &mut inflater)?)?;
        }
    }
}
