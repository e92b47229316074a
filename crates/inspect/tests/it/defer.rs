//! Answers given later.

use crate::show;
use crate::show_at;
use inspect::Deferred;
use inspect::Error;
use inspect::Inspect;
use inspect::InspectionBuilder;
use inspect::Request;
use inspect::SensitivityLevel;
use inspect::adhoc;
use inspect::iter_by_index;
use std::cell::RefCell;
use std::sync::mpsc;
use std::thread;

/// Hands its requests to whoever holds the other end.
struct Remote(mpsc::Sender<Deferred>);

impl Inspect for Remote {
    fn inspect(&self, req: Request<'_>) {
        let _ = self.0.send(req.defer());
    }
}

fn remote() -> (Remote, mpsc::Receiver<Deferred>) {
    let (send, recv) = mpsc::channel();
    (Remote(send), recv)
}

#[test]
fn another_thread_answers() {
    let (remote, requests) = remote();
    let server = thread::spawn(move || {
        for deferred in requests {
            // A second request, made while the first is awaited, is answered from yet another thread.
            thread::spawn(move || {
                deferred.respond(|resp| {
                    resp.hex("x", 16).child("nested", |req| {
                        let later = req.defer();
                        thread::spawn(move || later.value(5));
                    });
                });
            });
        }
    });
    let obj = adhoc(|req| {
        req.respond()
            .field("a", &remote)
            .field("b", &remote)
            .field("now", 1);
    });
    let mut inspection = inspect::inspect("", &obj);
    pollster::block_on(inspection.resolve());
    assert_eq!(
        inspection.results().to_string(),
        "{a: {nested: 5, x: 0x10}, b: {nested: 5, x: 0x10}, now: 1}"
    );
    let mut inspection = inspect::inspect("b/nested", &obj);
    pollster::block_on(inspection.resolve());
    assert_eq!(inspection.results().to_string(), "5");
    drop(remote);
    server.join().unwrap();
}

#[test]
fn results_do_not_wait() {
    let (remote, requests) = remote();
    let obj = adhoc(|req| {
        req.respond()
            .field("early", &remote)
            .field("late", &remote)
            .field("x", 1);
    });
    let inspection = inspect::inspect("", &obj);
    requests.recv().unwrap().value(2);
    let late = requests.recv().unwrap();
    assert_eq!(
        inspection.results().to_string(),
        "{early: 2, late: error (no answer yet), x: 1}"
    );
    // Nobody listens any more.
    late.value(3);
}

#[test]
fn an_answer_that_cannot_come_is_not_waited_for() {
    let (remote, requests) = remote();
    let mut inspection = inspect::inspect("", &remote);
    drop(requests);
    pollster::block_on(inspection.resolve());
    assert_eq!(
        inspection.results(),
        inspect::Node::Failed(Error::Unresolved)
    );
    // Nobody is there to take the request.
    assert_eq!(show(&remote), "error (no answer yet)");
}

#[test]
fn what_was_asked_is_kept() {
    let (remote, requests) = remote();
    let obj = adhoc(|req| {
        req.respond()
            .sensitivity_hex("r", SensitivityLevel::Safe, &remote);
    });
    let ask = |path| {
        let builder = InspectionBuilder::new(path).depth(Some(1));
        let inspection = builder
            .sensitivity(Some(SensitivityLevel::Safe))
            .inspect(&obj);
        (inspection, requests.recv().unwrap())
    };
    let answer = |deferred: Deferred| {
        assert_eq!(deferred.sensitivity(), SensitivityLevel::Safe);
        assert!(!deferred.is_update());
        deferred.respond(|resp| {
            assert_eq!(resp.parent_sensitivity(), SensitivityLevel::Safe);
            let safe = SensitivityLevel::Safe;
            resp.sensitivity_field("list", safe, iter_by_index([1, 16]))
                .field("hidden", 1);
        });
    };
    let (inspection, deferred) = ask("");
    answer(deferred);
    assert_eq!(inspection.results().to_string(), "{r: {list: _}}");
    let (inspection, deferred) = ask("r/list/1");
    answer(deferred);
    assert_eq!(inspection.results().to_string(), "0x10");
    let (inspection, deferred) = ask("r/hidden");
    answer(deferred);
    assert_eq!(inspection.results().to_string(), "error (not found)");
    let (inspection, deferred) = ask("r/x");
    deferred.value(1);
    assert_eq!(inspection.results().to_string(), "error (not a directory)");
    let (inspection, deferred) = ask("");
    deferred.ignore();
    assert_eq!(inspection.results().to_string(), "{}");
    let (inspection, deferred) = ask("r");
    deferred.inspect(AsRefCell(RefCell::new(17)));
    assert_eq!(inspection.results().to_string(), "0x11");
}

/// Something that is not `Sync`.
struct AsRefCell(RefCell<u32>);

impl inspect::InspectMut for AsRefCell {
    fn inspect_mut(&mut self, req: Request<'_>) {
        self.0.get_mut().inspect_mut(req);
    }
}

#[test]
fn merged_answers_join_their_siblings() {
    let (remote, requests) = remote();
    let obj = adhoc(|req| {
        req.respond().field("z", 1).merge(&remote);
    });
    let inspection = inspect::inspect("", &obj);
    requests.recv().unwrap().respond(|resp| {
        resp.field("a", 2).field("zz", 3);
    });
    assert_eq!(inspection.results().to_string(), "{a: 2, z: 1, zz: 3}");

    let inspection = inspect::inspect("a", &obj);
    requests.recv().unwrap().respond(|resp| {
        resp.field("a", 2).field("zz", 3);
    });
    assert_eq!(inspection.results().to_string(), "2");
    // Whether there is an `a` is not known.
    assert_eq!(
        inspect::inspect("a", &obj).results().to_string(),
        "error (no answer yet)"
    );
    assert_eq!(inspect::inspect("z", &obj).results().to_string(), "1");
    // Nor if it may be in a namesake that has not answered.
    let namesakes = adhoc(|req| {
        req.respond().fields("n", [("x", 1)]).field("n", &remote);
    });
    assert_eq!(show_at("n/a", &namesakes), "error (no answer yet)");
    assert_eq!(show_at("n/x", &namesakes), "1");
    // A value cannot be merged, and is no such child.
    let inspection = inspect::inspect("q", &obj);
    requests.try_iter().for_each(|deferred| deferred.value(1));
    assert_eq!(inspection.results().to_string(), "error (not found)");
}

#[test]
fn updates_are_answered_later() {
    let (remote, requests) = remote();
    let server = thread::spawn(move || {
        let mut value = 1u32;
        for deferred in requests {
            assert!(deferred.is_update());
            match deferred.update() {
                Ok(update) => match update.new_value().parse() {
                    Ok(new) => {
                        value = new;
                        update.succeed(value);
                    }
                    Err(err) => update.fail(err),
                },
                Err(deferred) => deferred.respond(|resp| {
                    resp.field_mut("value", &mut value);
                }),
            }
        }
        value
    });
    let update = |path, value| pollster::block_on(inspect::update(path, value, &remote));
    assert_eq!(update("", "2").unwrap().to_string(), "2");
    assert_eq!(
        update("", "x"),
        Err(Error::Update("invalid digit found in string".into()))
    );
    assert_eq!(update("value", "3").unwrap().to_string(), "3");
    assert_eq!(update("none", "3"), Err(Error::NotFound));
    drop(remote);
    assert_eq!(server.join().unwrap(), 3);

    let (remote, requests) = self::remote();
    let mut update = inspect::update("", "2", &remote);
    assert_eq!(update.result(), Err(Error::Unresolved));
    let mut update = inspect::update("", "2", &remote);
    drop(requests);
    assert_eq!(update.result(), Err(Error::Unresolved));
}

#[test]
fn a_deferred_request_can_cross_threads() {
    fn is_send<T: Send + 'static>() {}
    is_send::<Deferred>();
    is_send::<inspect::DeferredUpdate>();
    is_send::<inspect::Inspection>();
    is_send::<inspect::Update>();
}
