use super::*;
use crate::testing::test;

fn joined(lines: &[&str]) -> Option<String> {
    join(&lines.iter().map(|line| line.as_bytes()).collect())
}

#[test]
fn a_valid_list_is_passed_untouched() {
    for list in ["a=1", "a=1, b=2 ,c=3", "fw529a3039@dt=FfffffeiSAzAQDA;4", "a=1,,b=2", ""] {
        assert_eq!(joined(&[list]).as_deref(), Some(list));
    }
    assert_eq!(joined(&["a=1,", "", "\tb=2"]).as_deref(), Some("a=1,,,\tb=2"));
    assert_eq!(joined(&[]).as_deref(), Some(""));
}

#[test]
fn a_malformed_list_is_none() {
    let many = (0..33).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
    let long_value = format!("a={}", "v".repeat(257));
    for list in
        ["a", "=1", "A=1", "a=1,a=2", "a=b=c", "a=", "a@9=1", "a@b@c=1", "a =1", &many, &long_value]
    {
        assert_eq!(joined(&[list]), None, "{list}");
    }
    assert_eq!(join(&[&[0xff, 0xfe][..]].into_iter().collect()), None);
    assert_eq!(joined(&["a=1", "a=2"]), None);
}

#[test]
fn thirty_two_members_and_512_bytes_go_on_whole() {
    let list = (10..42).map(|i| format!("k{i}={}", "v".repeat(11))).collect::<Vec<_>>().join(",");
    assert_eq!(list.len(), 511);
    assert_eq!(joined(&[&list]).as_deref(), Some(&*list));
}

#[test]
fn a_list_that_is_too_long_loses_its_long_members_and_then_its_last() {
    let (long, short) = ("x".repeat(200), "y".repeat(90));
    let lines = [
        format!("a={long}"),
        format!("b={short},c={short},d={short},e={short}"),
        format!("f={short},g={short}"),
    ];
    let kept = joined(&lines.each_ref().map(String::as_str)).unwrap();
    let keys: Vec<_> = kept.split(',').map(|member| &member[..1]).collect();
    assert_eq!(keys, ["b", "c", "d", "e", "f"]);
    assert!(kept.len() <= LONGEST);
}

#[test]
fn threshold_and_randomness_are_read_from_opentelemetrys_member() {
    let read = |list| (probability(list).threshold, probability(list).randomness);
    assert_eq!(
        read("ot=th:fd70a4;rv:9b8233f7e3a151"),
        (Some(0xfd_70a4_0000_0000), Some(0x9b_8233_f7e3_a151))
    );
    assert_eq!(read("a=1, ot=rv:00000000000001;x:y"), (None, Some(1)));
    assert_eq!(read("ot=th:0"), (Some(0), None));
    for list in [
        "",
        "a=th:1",
        "ot=th:",
        "ot=th:G",
        "ot=th:123456789012345",
        "ot=rv:1",
        "ot=th:+1",
        "ot=th:FF",
    ] {
        assert_eq!(read(list), (None, None), "{list}");
    }
}

#[test]
fn a_new_threshold_stands_first_and_the_rest_is_kept() {
    let quarter = Some(0xc0 << 48);
    assert_eq!(with_threshold("", quarter), "ot=th:c");
    assert_eq!(
        with_threshold("a=1,ot=rv:00000000000001;th:8;x:y,b=2", quarter),
        "ot=th:c;rv:00000000000001;x:y,a=1,b=2"
    );
    assert_eq!(with_threshold("a=1", Some(0)), "ot=th:0,a=1");
    assert_eq!(with_threshold("ot=th:8,a=1", None), "a=1");
    assert_eq!(with_threshold("ot=th:8;x:y", None), "ot=x:y");
    assert_eq!(with_threshold("ot=th:8", None), "");
}

#[test]
fn a_full_list_makes_room_for_the_threshold() {
    let full = (10..42).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
    let list = with_threshold(&full, Some(0));
    assert!(list.starts_with("ot=th:0,k10=v,") && list.ends_with(",k40=v"), "{list}");
    assert!(is_valid(&list));
    let long = format!("a={0},b={0},c={0},d={0},e={0}", "v".repeat(100));
    let list = with_threshold(&long, Some(0));
    assert!(list.starts_with("ot=th:0,a=") && list.len() <= LONGEST, "{list}");
}
