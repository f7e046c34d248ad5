//! The picture of a plan: well-formed, with every box where it can be read, and nothing in it but text.
#![allow(clippy::unwrap_used, missing_docs)]

use display::{GraphNode, HTML_MIME, TEXT_MIME, graph_bundle, graph_svg};

fn node(title: &str, detail: &str, inputs: &[usize]) -> GraphNode {
    GraphNode {
        title: title.to_owned(),
        details: vec![detail.to_owned()],
        is_source: inputs.is_empty(),
        inputs: inputs.to_vec(),
        ..GraphNode::default()
    }
}

/// The elements in the order in which they open; fails unless each closes where it should.
fn elements(svg: &str) -> Vec<&str> {
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap();
        assert!(!text.contains('>'), "{text}");
        assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None => {
                seen.push(tag);
                if !tag.ends_with('/') {
                    open.push(name(tag));
                }
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    seen
}

fn name(tag: &str) -> &str {
    tag.split([' ', '/']).next().unwrap()
}

fn number(tag: &str, attribute: &str) -> f64 {
    tag.split_once(&format!(" {attribute}=\"")).unwrap().1.split('"').next().unwrap().parse().unwrap()
}

/// Left, top, right, bottom of each box.
fn boxes(svg: &str) -> Vec<[f64; 4]> {
    let rects = elements(svg).into_iter().filter(|tag| name(tag) == "rect");
    rects
        .map(|tag| {
            let (x, y) = (number(tag, "x"), number(tag, "y"));
            [x, y, x + number(tag, "width"), y + number(tag, "height")]
        })
        .collect()
}

#[test]
fn every_step_is_a_box_and_every_input_an_arrow() {
    let nodes =
        [node("LEFT", "a", &[]), node("RIGHT", "b", &[]), node("UNION", "", &[0, 1]), node("FILTER", "c", &[2])];
    let svg = graph_svg("a plan", &nodes, "in words");
    let names: Vec<&str> = elements(&svg).into_iter().map(name).collect();
    assert_eq!(names.iter().filter(|name| **name == "rect").count(), 4);
    // A line and its head.
    assert_eq!(names.iter().filter(|name| **name == "path").count(), 2 * 3);
    assert_eq!(names[..3], ["svg", "title", "desc"]);
    for title in ["LEFT", "RIGHT", "UNION", "FILTER"] {
        assert!(svg.contains(&format!(">{title}</text>")), "{title}");
    }
    assert!(svg.contains("<desc>in words</desc>") && svg.contains("aria-label=\"a plan\""));
}

#[test]
fn boxes_do_not_overlap_and_stand_above_what_they_take() {
    let nodes = [
        node("A", "a", &[]),
        node("B", &"b ".repeat(200), &[]),
        node("C", "c", &[]),
        node("D", "d", &[0, 1]),
        node("E", "e", &[3, 2]),
    ];
    let svg = graph_svg("", &nodes, "");
    let (width, height) = (number(elements(&svg)[0], "width"), number(elements(&svg)[0], "height"));
    let boxes = boxes(&svg);
    for (n, one) in boxes.iter().enumerate() {
        assert!(one[0] >= 0.0 && one[1] >= 0.0 && one[2] <= width && one[3] <= height, "{one:?}");
        for other in &boxes[..n] {
            let beside = one[2] <= other[0] || other[2] <= one[0];
            let above = one[3] <= other[1] || other[3] <= one[1];
            assert!(beside || above, "{one:?} and {other:?}");
        }
        assert!(nodes[n].inputs.iter().all(|input| boxes[*input][1] > one[3]));
    }
}

#[test]
fn names_from_a_topic_are_text_and_nothing_else() {
    let evil = "</text><script>alert('1')</script>\u{0}\u{1b}\"&";
    let nodes = [GraphNode { note: Some(evil.to_owned()), ..node(evil, evil, &[]) }];
    let svg = graph_svg(evil, &nodes, evil);
    assert!(elements(&svg).into_iter().all(|tag| ["svg", "title", "desc", "rect", "text"].contains(&name(tag))));
    assert!(!svg.chars().any(char::is_control));
    let bundle = graph_bundle(evil, &nodes, evil);
    assert!(!bundle.data[HTML_MIME].as_str().unwrap().contains("<script"));
    assert_eq!(bundle.data[TEXT_MIME], evil);
}

#[test]
fn long_texts_are_wrapped_and_cut_in_the_end() {
    let texts = |detail: &str| {
        let svg = graph_svg("", &[node("", detail, &[])], "");
        let texts = svg.split("</text>").filter_map(|text| text.rsplit_once('>')).map(|(_, text)| text.to_owned());
        texts.skip(1).filter(|text| !text.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(texts("short"), ["short"]);
    let lines = texts(&"word ".repeat(30));
    assert!(lines.len() == 3 && lines.iter().all(|line| line.trim_end().chars().count() <= 62), "{lines:?}");
    let lines = texts(&"é".repeat(1_000));
    assert!(lines.len() == 6 && lines[5].ends_with('…'), "{lines:?}");
    assert_eq!(lines[0].chars().count(), 62);
}
