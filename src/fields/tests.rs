use super::*;

fn fields(body: &str) -> Fields<'_> {
    Fields::parse(body.as_bytes(), None).unwrap_or_else(|refusal| panic!("{body}: {refusal:?}"))
}

fn refused(body: &[u8], content_type: Option<&str>) -> String {
    match Fields::parse(body, content_type) {
        Err(Refusal::Invalid(text)) => text,
        Err(other) => panic!("{other:?}"),
        Ok(fields) => panic!("accepted, with {:?}", fields.names().collect::<Vec<_>>()),
    }
}

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

#[test]
fn the_body_decides_whether_it_is_json_or_a_form() {
    for content_type in [None, FORM, Some("text/plain"), Some("application/json")] {
        let json = Fields::parse(b" \n{\"a\": \"b=c&d\"}", content_type).unwrap();
        assert_eq!(json.text("a").unwrap().as_deref(), Some("b=c&d"));
        let form = Fields::parse(b"a=b%20c+d&%C3%BC=%22", content_type).unwrap();
        assert_eq!(form.text("a").unwrap().as_deref(), Some("b c d"));
        assert_eq!(form.raw("ü").unwrap().get(), r#""\"""#);
        assert!(Fields::parse(b" ", content_type).unwrap().is_empty());
        assert!(Fields::parse(b"null\n", content_type).unwrap().is_empty());
    }
    assert_eq!(Fields::parse(b"a=b c", FORM).unwrap().text("a").unwrap().as_deref(), Some("b c"));
    assert!(refused(b"a=b c", None).starts_with("failed to decode JSON input: "));
}

#[test]
fn anything_else_is_refused_without_quoting_it() {
    let bodies: [&[u8]; 9] =
        [b"[1]", b"\"hunter2\"", b"hunter2", b"{\"a\":hunter2}", b"{\"a\":1", b"{}x", b"\xff", b"12", b"[\"a=b\"]"];
    for body in bodies {
        let text = refused(body, FORM);
        assert!(text.starts_with("failed to decode JSON input: "), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(refused(b"a=1&a=2", FORM).contains("twice"));
}

#[test]
fn limits_hold_at_every_depth() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(Fields::parse(nested(DEPTH_MAX).as_bytes(), None).is_ok());
    assert!(refused(nested(DEPTH_MAX + 1).as_bytes(), None).contains("64 deep"));
    assert!(refused(nested(500_000).as_bytes(), None).contains("64 deep"));
    // The object, the list and its items.
    let many = |nodes: usize| format!("{{\"a\":[{}]}}", vec!["1"; nodes - 2].join(","));
    assert!(Fields::parse(many(NODES_MAX).as_bytes(), None).is_ok());
    assert!(refused(many(NODES_MAX + 1).as_bytes(), None).contains("100000 values"));
    for twice in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":1}"#, r#"{"x":[{"y":{"a":1,"b":[{}],"a":2}}]}"#] {
        assert!(refused(twice.as_bytes(), None).contains(r#"the name "a" is given twice"#), "{twice}");
    }
    // The same name in different objects, or as a value, is no duplicate.
    fields(r#"{"a":{"a":"a"},"b":["a","a",{"a":1},{"a":1}],"c":"a"}"#);
}

#[test]
fn strings_are_decoded() {
    let body = r#"{"a":"\"\\\/\b\f\n\r\té\u00e9\uD83D\uDE00 end","b":"plain é","\u0063":""}"#;
    let fields = fields(body);
    assert_eq!(fields.text("a").unwrap().unwrap(), "\"\\/\u{8}\u{c}\n\r\téé😀 end");
    assert_eq!(fields.secret("b").unwrap().unwrap().expose(), "plain é");
    assert_eq!(fields.text("c").unwrap().unwrap(), "");
    for half in [r#"{"a":"\ud800"}"#, r#"{"a":"\udc00x"}"#, r#"{"a":"\ud800\ud800"}"#, r#"{"\ud800":1}"#] {
        assert!(refused(half.as_bytes(), None).contains("surrogate"), "{half}");
    }
}

#[test]
fn null_is_absent() {
    assert!(Fields::parse(b" null\n", None).ok().unwrap().is_empty());
    let fields = fields(r#"{"a":null,"b":"null"}"#);
    assert!(!fields.has("a") && fields.has("b") && !fields.has("c"));
    assert_eq!(fields.text("a").unwrap(), None);
    assert_eq!(fields.list("a").unwrap(), None);
    assert!(fields.nested("a").unwrap().is_none());
    assert_eq!(fields.names().collect::<Vec<_>>(), ["a", "b"]);
    let known = [Field { name: "a", kind: "string", help: "" }];
    assert_eq!(fields.unknown(&known), ["b"]);
}

#[test]
fn fields_that_nobody_knows_are_named_in_order() {
    let known = [Field { name: "m", kind: "string", help: "" }];
    assert_eq!(fields(r#"{"z":1,"m":2,"a":3}"#).unknown(&known), ["a", "z"]);
}

#[test]
fn a_body_can_be_taken_whole() {
    let whole = |body: &[u8]| {
        let fields = Fields::parse(body, None).unwrap();
        fields.whole().map(|whole| String::from_utf8(whole.expose().to_vec()).unwrap())
    };
    assert_eq!(whole(br#" {"b": {"x" : [1.0]}, "a":null} "#).as_deref(), Some(r#"{"b":{"x" : [1.0]},"a":null}"#));
    assert_eq!(whole(br#"{"\u0041\"":"\u0041"}"#).as_deref(), Some(r#"{"A\"":"\u0041"}"#));
    assert_eq!(whole(b"a=1&b=%22").as_deref(), Some(r#"{"a":"1","b":"\""}"#));
    for nothing in [&b""[..], b"{}", b"null"] {
        assert_eq!(whole(nothing), None);
    }
    let any = [Field { name: "*", kind: "any", help: "" }];
    assert!(Fields::parse(b"a=1", None).unwrap().unknown(&any).is_empty());
}

#[test]
fn scalars_convert_as_clients_write_them() {
    for (json, expected) in [
        ("true", Some(true)),
        ("\"true\"", Some(true)),
        ("\"1\"", Some(true)),
        ("1", Some(true)),
        ("\"T\"", Some(true)),
        ("false", Some(false)),
        ("\"False\"", Some(false)),
        ("0", Some(false)),
        ("\"\"", Some(false)),
        ("\"yes\"", None),
        ("2", None),
        ("[true]", None),
        ("{}", None),
    ] {
        assert_eq!(fields(&format!("{{\"x\":{json}}}")).boolean("x").ok(), expected.map(Some), "{json}");
    }
    for (json, expected) in [
        ("7", Some(7)),
        ("\"7\"", Some(7)),
        ("-1", Some(-1)),
        ("\"-1\"", Some(-1)),
        ("\"\"", Some(0)),
        ("9223372036854775807", Some(i64::MAX)),
        ("9223372036854775808", None),
        ("1.5", None),
        ("1e3", None),
        ("true", None),
        ("\"x\"", None),
        ("[1]", None),
    ] {
        assert_eq!(fields(&format!("{{\"x\":{json}}}")).integer("x").ok(), expected.map(Some), "{json}");
    }
    for (json, expected) in [
        ("3600", Some(3600)),
        ("\"3600\"", Some(3600)),
        ("\"1h\"", Some(3600)),
        ("\"1h0m0s\"", Some(3600)),
        ("0", Some(0)),
        ("\"\"", Some(0)),
        ("-1", None),
        ("\"-1\"", None),
        ("\"-1h\"", None),
        ("1.5", None),
        ("true", None),
        ("\"x\"", None),
        ("[]", None),
    ] {
        let expected = expected.map(|seconds| Some(Duration::from_secs(seconds)));
        assert_eq!(fields(&format!("{{\"x\":{json}}}")).duration("x").ok(), expected, "{json}");
    }
    assert_eq!(fields(r#"{"x":1.50}"#).text("x").unwrap().unwrap(), "1.50");
    assert_eq!(fields(r#"{"x":true}"#).text("x").unwrap().unwrap(), "true");
}

#[test]
fn lists_and_maps_convert() {
    for (json, expected) in [
        (r#"["a","b c",1,true]"#, Some(vec!["a", "b c", "1", "true"])),
        (r#"" a, b,,c ""#, Some(vec!["a", "b", "c"])),
        ("6", Some(vec!["6"])),
        ("\"\"", Some(vec![])),
        ("[]", Some(vec![])),
        ("[[]]", None),
        ("[null]", None),
        ("{}", None),
    ] {
        let expected = expected.map(|items| Some(items.into_iter().map(str::to_owned).collect::<Vec<_>>()));
        assert_eq!(fields(&format!("{{\"x\":{json}}}")).list("x").ok(), expected, "{json}");
    }
    for (json, expected) in [
        (r#"["6"]"#, Some(vec![6])),
        ("[6]", Some(vec![6])),
        (r#""6,7""#, Some(vec![6, 7])),
        ("6", Some(vec![6])),
        ("[-1]", None),
        (r#""a""#, None),
        ("[1.5]", None),
    ] {
        assert_eq!(fields(&format!("{{\"x\":{json}}}")).integers("x").ok(), expected.map(Some), "{json}");
    }
    for (json, expected) in [
        (r#"{"a":"1","b":2,"c":true,"d":null}"#, Some(vec![("a", "1"), ("b", "2"), ("c", "true")])),
        (r#""a=1=2""#, Some(vec![("a", "1=2")])),
        (r#"["a=1","b="]"#, Some(vec![("a", "1"), ("b", "")])),
        ("{}", Some(vec![])),
        (r#""a""#, None),
        (r#"{"a":{}}"#, None),
        ("1", None),
    ] {
        let expected =
            expected.map(|pairs| Some(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<BTreeMap<_, _>>()));
        assert_eq!(fields(&format!("{{\"x\":{json}}}")).map("x").ok(), expected, "{json}");
    }
}

#[test]
fn errors_name_the_field_and_never_the_value() {
    let fields = fields(r#"{"ttl":"hunter2","data":"hunter2","options":{"cas":"hunter2"}}"#);
    let Err(Refusal::Invalid(text)) = fields.duration("ttl") else { panic!("accepted") };
    assert!(text.contains("\"ttl\"") && text.contains("duration") && !text.contains("hunter2"), "{text}");
    assert!(matches!(fields.object("data"), Err(Refusal::Invalid(text)) if !text.contains("hunter2")));
    let options = fields.nested("options").unwrap().unwrap();
    assert!(matches!(options.integer("cas"), Err(Refusal::Invalid(text)) if !text.contains("hunter2")));
    assert_eq!(fields.object("options").unwrap().unwrap().get(), r#"{"cas":"hunter2"}"#);
}

#[test]
fn queries_are_decoded_and_bounded() {
    let query = Query::parse("list=true&after=a%2Fb+c&list=false&x&ü=1").unwrap();
    assert!(query.flag("list") && !query.flag("x") && !query.flag("after") && query.flag("ü"));
    assert_eq!((query.value("after"), query.value("x"), query.value("y")), (Some("a/b c"), Some(""), None));
    assert!(Query::parse(&"a&".repeat(PARAMETERS_MAX)).is_ok());
    assert!(matches!(Query::parse(&"a&".repeat(PARAMETERS_MAX + 1)), Err(Refusal::Invalid(_))));
    assert!(matches!(Query::parse(&"a".repeat(QUERY_BYTES_MAX + 1)), Err(Refusal::Invalid(_))));
}

proptest::proptest! {
    #[test]
    fn no_body_panics_and_text_survives(body: Vec<u8>, text: String) {
        let _ = Fields::parse(&body, FORM).map(|fields| fields.names().count());
        let json = format!("{{\"x\":{}}}", serde_json::to_string(&text).unwrap());
        let read = fields(&json).secret("x").unwrap().unwrap();
        proptest::prop_assert_eq!(read.expose(), &text);
    }
}
