//! A limit of the file size fails a write and does not end the agent.

use std::process::Command;

use crate::common::{agent_command, child_of, sh};
use antiphon_wire::{Empty, FsWriteFile, Message, OpResult, Terminal};
use signal_hook::consts::SIGXFSZ;

#[test]
fn a_write_above_the_file_size_limit_fails_and_the_agent_continues() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("f").to_string_lossy().into_owned();
    let agent = agent_command(&["--stdio"]);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 1; exec \"$0\" --stdio"]);
    let (mut client, mut agent) = child_of(command.arg(agent.get_program()));
    let write = Message::FsWriteFile(FsWriteFile {
        data: vec![7; 10_000],
        path,
        perm: None,
        offset: None,
    });
    match client.call(write) {
        Terminal::Op(OpResult::Err { error, .. }) => {
            assert!(error.message.contains("File too large"), "{error:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(client.call(Message::Ping(Empty {})), Terminal::Pong);
    // In a command the signal has its default action.
    let beyond = format!("head -c 10000 /dev/zero > {}/g", dir.path().display());
    let id = client.request(Message::ExecRequest(sh(&format!("exec {beyond}"))));
    assert_eq!(
        client.wait(id).exit(),
        (128 + SIGXFSZ, Some(SIGXFSZ), false)
    );
    drop(client);
    assert!(agent.wait().expect("it ends").success());
}
