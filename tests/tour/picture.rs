//! The journey as a picture: where everything lies is fixed here, what is written comes from the run. Calls nobody.

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    component::End,
    journey::Journey,
    kept::unkept,
    unmet::{Outcome, Unmet},
};

/// Draws what a run kept.
pub(crate) fn draw(journey: &Path, svg: &Path) -> Outcome {
    fs::write(svg, drawn(&Journey::read(journey)?)).map_err(unkept(svg))
}

/// Whether a picture, drawn of another run, shows the same: all that is fixed is equal, and of what comes from a run the
/// same texts are equal to each other. Only the names of projects and the pseudonyms may differ.
pub(crate) fn check(journey: &Path, svg: &Path) -> Outcome {
    let committed = fs::read_to_string(svg).map_err(unkept(svg))?;
    let (now, then) = (Shape::of(&drawn(&Journey::read(journey)?)), Shape::of(&committed));
    if now == then { Ok(()) } else { Err(Unmet::answer("picture", format!("{now:?}"), &then)) }
}

/// What two pictures of two runs have in common.
#[derive(Debug, Eq, PartialEq)]
struct Shape {
    fixed: String,
    /// For each text of a run, which of them was the first that said the same.
    same_as: Vec<usize>,
}

/// How an element begins whose text comes from a run.
const OF_A_RUN: &str = "class=\"run\">";

impl Shape {
    fn of(svg: &str) -> Self {
        let mut parts = svg.split(OF_A_RUN);
        let (mut fixed, mut texts) = (parts.next().unwrap_or_default().to_owned(), Vec::new());
        for part in parts {
            let (text, after) = part.split_once('<').unwrap_or((part, ""));
            texts.push(text);
            fixed.push_str(OF_A_RUN);
            fixed.push('<');
            fixed.push_str(after);
        }
        let first = |text: &&str| texts.iter().position(|other| other == text).unwrap_or_default();
        Self { fixed, same_as: texts.iter().map(first).collect() }
    }
}

const COLUMNS: [u32; 3] = [20, 400, 780];
const ROWS: [u32; 2] = [20, 190];
const BOX_WIDTH: u32 = 240;
const BOX_HEIGHT: u32 = 110;
const STYLE: &str = "text{font:11px monospace;fill:#1c2733}.title{font-weight:bold;font-size:13px}\
    .box{fill:#f4f7fa;stroke:#7b8b9a}.way{stroke:#7b8b9a;fill:none;marker-end:url(#tip)}.middle{text-anchor:middle}";

fn drawn(journey: &Journey) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1040 350\" role=\"img\" aria-label=\"A list of names, two \
         levels of pseudonyms, and back a level at a time\">\n<style>{STYLE}</style>\n<defs><marker id=\"tip\" \
         viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" \
         fill=\"#7b8b9a\"/></marker></defs>\n<rect width=\"1040\" height=\"350\" fill=\"#ffffff\"/>\n"
    );
    let [left, middle, right] = COLUMNS;
    let [up, down] = ROWS;
    for (x, y, title, values) in [
        (left, up, "values", &journey.values),
        (middle, up, "first level", &journey.first),
        (right, up, "second level", &journey.second),
        (middle, down, "first level again", &journey.first_again),
        (left, down, "values again", &journey.values_again),
    ] {
        list(&mut out, x, y, title, values);
    }
    let ((over, under), half) = ((up + BOX_HEIGHT / 2, down + BOX_HEIGHT / 2), BOX_WIDTH / 2);
    let way = |from: u32, to: u32, y: u32| format!("M{from} {y}H{to}");
    for (path, x, y, whose, kind, project, end) in [
        (
            way(left + BOX_WIDTH, middle, over),
            330,
            over,
            "the hospital",
            "PSEUDONYMISATION",
            &journey.clinic,
            End::Forward,
        ),
        (
            way(middle + BOX_WIDTH, right, over),
            710,
            over,
            "the registry",
            "SECONDARY",
            &journey.research,
            End::Forward,
        ),
        (
            format!("M{} {}V{under}H{}", right + half, up + BOX_HEIGHT, middle + BOX_WIDTH),
            710,
            under,
            "the registry",
            "REVERSE",
            &journey.research,
            End::Backward,
        ),
        (
            way(middle, left + BOX_WIDTH, under),
            330,
            under,
            "the hospital",
            "REVERSE",
            &journey.clinic,
            End::Backward,
        ),
    ] {
        // Writing to a text cannot fail.
        let _ = writeln!(out, "<path d=\"{path}\" class=\"way\"/>");
        text(&mut out, x, y - 22, "middle", whose);
        text(&mut out, x, y - 8, "middle", kind);
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{}\" class=\"middle\"><tspan class=\"run\">{}</tspan></text>",
            y + 17,
            escaped(project)
        );
        text(&mut out, x, y + 31, "middle", end.path());
    }
    text(
        &mut out,
        left,
        332,
        "note",
        "Each arrow is one token. The registry's REVERSE token never reaches the values: what is not of its own layer is 422.",
    );
    out.push_str("</svg>\n");
    out
}

fn list(out: &mut String, x: u32, y: u32, title: &str, values: &[String]) {
    let _ = writeln!(
        out,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"6\" class=\"box\"/>"
    );
    text(out, x + 12, y + 24, "title", title);
    for (line, value) in (0..).zip(values) {
        let y = y + 50 + 20 * line;
        let _ = writeln!(out, "<text x=\"{}\" y=\"{y}\" class=\"run\">{}</text>", x + 12, escaped(value));
    }
}

fn text(out: &mut String, x: u32, y: u32, class: &str, said: &str) {
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{}</text>", escaped(said));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
