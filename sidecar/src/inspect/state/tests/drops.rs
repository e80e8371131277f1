//! What the script drops while a request names it.

use super::*;

#[tokio::test]
async fn the_last_drop_waits_for_the_requests_that_name_its_object() {
    let mut session = Session::of("read-numeric").await.method().await;
    let first = session.calls_it().await;
    let second = session.asks(STR, &[object(3, METHOD, 6)]).await;
    assert_eq!(session.went_on(), [first, second]);
    let dropped = session.drops_it(1).await;
    // What names another object goes on, and what names this one is denied.
    let other = session.asks(STR, &[object(3, "hou.ObjNode", 5)]).await;
    assert_eq!(session.went_on(), [other]);
    assert!(session.came_back().is_empty());
    let denied = session.calls_it().await;
    assert!(session.went_on().is_empty());
    let [told] = session.came_back()[..] else {
        panic!()
    };
    assert_eq!((told.kind, told.seq as i64), (Kind::Exception, denied));

    session
        .answers(second, plain(&Value::Str("<bound method>")))
        .await;
    session.answers(other, plain(&Value::Str("a"))).await;
    assert!(session.went_on().is_empty());
    session.answers(first, plain(&Value::Str("/obj/a"))).await;
    assert_eq!(session.went_on(), [dropped]);
    assert_eq!(session.came_back().len(), 3);
    session.answers(dropped, none()).await;
    let [told] = session.came_back()[..] else {
        panic!()
    };
    assert_eq!((told.kind, told.seq as i64), (Kind::Reply, dropped));
}

#[tokio::test]
async fn a_drop_that_is_not_the_last_one_waits_for_nothing() {
    let mut session = Session::of("read-numeric").await.method().await;
    session.fetches().await;
    let open = session.calls_it().await;
    let first = session.drops_it(1).await;
    assert_eq!(session.went_on(), [open, first]);
    let last = session.drops_it(1).await;
    assert!(session.went_on().is_empty());
    // The answer to the first one says nothing of the call.
    session.answers(first, none()).await;
    assert!(session.went_on().is_empty());
    session.answers(open, plain(&Value::Str("/obj/a"))).await;
    assert_eq!(session.went_on(), [last]);
}

#[tokio::test]
async fn an_object_that_is_given_out_again_meanwhile_is_the_same_one() {
    let mut session = Session::of("read-numeric").await.method().await;
    let open = session.calls_it().await;
    let dropped = session.drops_it(1).await;
    assert_eq!(session.went_on(), [open]);
    let args = [object(3, "hou.ObjNode", 5), plain(&Value::Str("path"))];
    let fetched = session.asks(GETATTR, &args).await;
    assert_eq!(session.went_on(), [fetched]);
    session.answers(fetched, object(4, METHOD, 6)).await;
    // Houdini counts two, of which one is dropped: nobody has to wait for that.
    assert_eq!(session.went_on(), [dropped]);
    // And it may be called as before.
    let again = session.calls_it().await;
    assert_eq!(session.went_on(), [again]);
    let last = session.drops_it(1).await;
    session.answers(open, none()).await;
    assert!(session.went_on().is_empty());
    session.answers(again, none()).await;
    assert_eq!(session.went_on(), [last]);
}

#[tokio::test]
async fn a_great_answer_is_kept_back_and_lets_a_drop_go_on() {
    let mut session = Session::of("read-numeric").await.method().await;
    let open = session.calls_it().await;
    let dropped = session.drops_it(1).await;
    assert_eq!(session.went_on(), [open]);
    // Small on its way, and great once it is inflated.
    session
        .answers(open, plain(&Value::Bytes(&vec![0; 20 << 20])))
        .await;
    let [told] = session.came_back()[..] else {
        panic!()
    };
    assert_eq!((told.kind, told.seq as i64), (Kind::Exception, open));
    assert_eq!(session.went_on(), [dropped]);
}
