//! Recording a run, and replaying it.

use crate::command::file;
use crate::command::print;
use crate::command::run;
use crate::command::text;
use crate::command::vacancy;

#[test]
fn a_recorded_run_is_replayed_without_a_difference() {
    let recording = vacancy("demo.recording");
    let path = recording.to_str().unwrap();
    print(&["demo", "--quiet", "--record", path]);
    let report = print(&["replay", path]);
    assert!(report.starts_with("replayed: "), "{report}");
    assert!(report.ends_with("; no difference\n"), "{report}");
    let reads: u64 = report.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(reads > 1000, "{report}");
}

#[test]
fn an_answer_that_differs_is_named_and_fails() {
    let recording = vacancy("other.recording");
    let path = recording.to_str().unwrap();
    print(&["demo", "--quiet", "--record", path]);
    let mut bytes = std::fs::read(&recording).unwrap();
    // The demonstration as it was before one of its devices got another ID; the same number of bytes.
    let description = bytes.len().min(0x10000);
    let head = text(
        bytes[16..description]
            .utf8_chunks()
            .next()
            .unwrap()
            .valid()
            .as_bytes(),
    );
    let at = head.find("device_id = 0x").unwrap() + "device_id = 0x".len();
    bytes[16 + at] = if bytes[16 + at] == b'0' { b'1' } else { b'0' };
    let other = file("changed.recording", bytes);
    let output = run(&["replay", other.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(errors.contains("register 0x000 of 0000:"), "{errors}");
}

#[test]
fn what_is_no_recording_is_said_to_be_none() {
    let path = file("no.recording", "[[root_complex]]");
    let output = run(&["replay", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let errors = text(&output.stderr);
    assert!(errors.contains("this is not a recording"), "{errors}");
}
