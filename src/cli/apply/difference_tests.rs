use super::*;

fn tree(text: &str) -> Tree {
    serde_json::from_str(text).unwrap()
}

#[test]
fn values_that_mean_the_same_are_the_same() {
    for (desired, present, expected) in [
        (r#""1h""#, "3600", true),
        (r#""1h""#, r#""1h0m0s""#, true),
        (r#""60""#, r#""1m""#, true),
        (r#""1h""#, "3601", false),
        (r#""5""#, "5", true),
        ("5", r#""5""#, true),
        ("true", r#""true""#, true),
        (r#""a,b""#, r#"["b","a"]"#, true),
        (r#"["a","b","a"]"#, r#"["b","a"]"#, true),
        (r#"["a"]"#, r#"["a","b"]"#, false),
        ("[]", "null", true),
        (r#""""#, "null", true),
        ("false", "null", true),
        ("0", "null", true),
        ("true", "null", false),
        (r#""x""#, "null", false),
        (r#"{"a":"1"}"#, r#"{"a":1,"b":2}"#, true),
        (r#"{"a":"1"}"#, r#"{"b":2}"#, false),
        (r#""60x""#, r#""60y""#, false),
        (r#""team a""#, r#""team b""#, false),
    ] {
        assert_eq!(same(&tree(desired), &tree(present), false), expected, "{desired} {present}");
    }
    assert!(!same(&tree(r#"{"a":"1"}"#), &tree(r#"{"a":"1","b":"2"}"#), true));
}

#[test]
fn secrets_are_hidden_and_unknown_ones_count_as_the_same() {
    let desired = |name: &str, value: &str, hidden| Desired { name: name.to_owned(), value: tree(value), hidden, whole: false };
    let fields = [desired("password", r#""hunter2""#, true), desired("data", r#"{"a":1}"#, false)];
    let present = tree(r#"{"data":{"a":2,"token":"hunter3","list":[{"db_secret":"hunter4"}]},"password":"hunter5"}"#);
    let found = changes(&fields, |name| present.member(name));
    let texts = format!("{found:?}");
    assert_eq!(found.len(), 2);
    assert!(!texts.contains("hunter") && texts.contains("(secret)"), "{texts}");

    let without = tree(r#"{"data":{"a":1}}"#);
    assert!(changes(&fields, |name| without.member(name)).is_empty());
    assert!(!format!("{:?}", additions(&fields)).contains("hunter"));
}

#[test]
fn long_values_are_cut_and_texts_are_shown_by_their_lines() {
    let long = Desired { name: "x".to_owned(), value: Tree::text("ü".repeat(500)), hidden: false, whole: false };
    let [change] = &additions(&[long])[..] else { panic!("one field") };
    assert_eq!(change.new.as_ref().map(|new| new.chars().count()), Some(SHOWN_MAX + 2));
    assert_eq!(lines("a\nb\nc\n", "a\nx\ny\nc\n"), "\n      - b\n      + x\n      + y");
    assert_eq!(lines("a\na\n", "a\n"), "\n      - a");
    assert_eq!(lines("", "a"), "\n      + a");
}
