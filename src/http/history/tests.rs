use super::*;

fn last_of(query: &str) -> Result<u64, Refusal> {
    let uri = Uri::try_from(format!("/history?{query}")).expect("a URI");
    let [value] = query::values(&uri, ["last"]);
    last(value, Last { number: 5, unit: Unit::Minutes }).map(Last::seconds)
}

#[test]
fn how_much_of_the_past_is_asked_for_is_a_number_and_a_unit() {
    for (query, expected) in [
        ("", 300),
        ("last=1m", 60),
        ("last=5m", 300),
        ("last=24h", 86_400),
        ("last=048h", 172_800),
        ("last=90d", 7_776_000),
        ("last=2160h", 7_776_000),
    ] {
        assert_eq!(last_of(query), Ok(expected), "{query}");
    }
    for bad in [
        "last=",
        "last=5",
        "last=m",
        "last=0m",
        "last=5s",
        "last=5M",
        "last=-5m",
        "last=%2B5m",
        "last=1.5h",
        "last=91d",
        "last=2161h",
        "last=18446744073709551615d",
        "last=99999999999999999999d",
        "last=5m&last=5m",
        "last=%FF",
        "last=%D9%A5m",
    ] {
        assert_eq!(last_of(bad), Err(Refusal::BadLast), "{bad}");
    }
}

fn point(at: u64, least: usize, most: usize) -> Point {
    Point { at, least, mean: least.midpoint(most) as f64, most }
}

fn draw(label: &str, points: &[Point]) -> String {
    let last = Last { number: 1, unit: Unit::Hours };
    let chart = Chart { label, color: None, last, time: 0..3600, step: Step::Minute };
    chart.draw(points)
}

/// The path that is drawn last: the line of the mean.
fn line(svg: &str) -> &str {
    let (_, paths) = svg.rsplit_once("<path d=\"").expect("a path");
    paths.split('"').next().expect("what it draws")
}

#[test]
fn a_chart_has_a_gap_where_nothing_is_known_and_nowhere_else() {
    let points: Vec<_> = (0..60).map(|minute| point(minute * 60, 1, 3)).collect();
    assert_eq!(line(&draw("a", &points)).matches('M').count(), 1);
    let gap = [&points[..20], &points[25..]].concat();
    let svg = draw("a", &gap);
    assert_eq!(line(&svg).matches('M').count(), 2);
    assert!(svg.contains("<title id=\"title\">a: 1 to 3 people in the last 1 hour</title>"));
    // Many steps share a column.
    let last = Last { number: 90, unit: Unit::Days };
    let (time, step) = (100..100 + last.seconds(), Step::Hour);
    let chart = Chart { label: "a", color: Some("red"), last, time, step };
    let points: Vec<_> = (1..=2160).map(|hour| point(hour * 3600, 0, hour as usize)).collect();
    let svg = chart.draw(&points);
    assert_eq!((line(&svg).matches('M').count(), line(&svg).matches('L').count()), (1, 287));
    assert!(svg.contains("peak 2160") && svg.contains("--color:#e05d44"), "{svg}");
    let nothing = draw("a", &[]);
    assert_eq!((line(&nothing), nothing.contains("nothing is known")), ("", true));
    // Nobody, all the time, is a line at the bottom.
    assert!(line(&draw("a", &[point(0, 0, 0)])).contains(" 122.0H"), "{nothing}");
}

#[test]
fn no_label_of_a_chart_is_more_than_text() {
    let hostile = "</title><script>alert(1)</script>&\"'\u{ffff}";
    let (svg, plain) = (draw(hostile, &[]), draw("x", &[]));
    for structural in ['<', '>', '"', '\''] {
        assert_eq!(svg.matches(structural).count(), plain.matches(structural).count());
    }
    assert!(svg.contains("&lt;/script&gt;&amp;&quot;&#39;\u{fffd}:"), "{svg}");
}
