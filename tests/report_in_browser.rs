//! The report in a real browser: no console error, no sideways scrolling, light and dark, and an
//! explorer that draws the program's images.
//!
//! Needs `chromedriver` and its Chromium (Debian: chromium-driver); without them the test says so
//! and passes. It speaks the W3C WebDriver protocol: commands are JSON over HTTP.

mod program;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use program::{Run, rung};
use serde_json::{Value, json};

/// A browser with one window.
struct Browser {
    driver: Child,
    session: String,
}

impl Browser {
    /// A window of this width; `None` if there is no browser on this machine.
    fn open(width: u32) -> Option<Self> {
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = driver.ok()?;
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let base =
            format!("http://127.0.0.1:{}/session", port.expect("chromedriver says its port"));
        let metrics = json!({"width": width, "height": 900, "pixelRatio": 1, "touch": width < 500});
        let options = json!({
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"],
            "mobileEmulation": {"deviceMetrics": metrics},
        });
        let wanted = json!({"browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"}});
        let answer = post(&base, &json!({"capabilities": {"alwaysMatch": wanted}}));
        let id = answer["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}"));
        Some(Self { driver, session: format!("{base}/{id}") })
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        post(&format!("{}/{path}", self.session), body)
    }

    fn run(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Opens a file and waits until the explorer has unpacked its network.
    fn show(&self, path: &std::path::Path) {
        self.command("url", &json!({"url": format!("file://{}", path.display())}));
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.run("return window.rungExplorer !== undefined") != json!(true) {
            assert!(
                Instant::now() < deadline,
                "the explorer does not start: {}",
                self.complaints()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the console says of errors.
    fn complaints(&self) -> Value {
        let entries = self.command("se/log", &json!({"type": "browser"}));
        entries
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["level"] != "INFO")
            .cloned()
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session, the driver with its process; a failed test must not
        // leave either.
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn post(url: &str, body: &Value) -> Value {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer =
        agent.post(url).header("content-type", "application/json").send(body.to_string()).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    assert!(answer["value"]["error"].is_null(), "{url}: {text}");
    answer["value"].take()
}

/// A browser as wide as a desktop's, or a word on why there is none.
fn desktop() -> Option<Browser> {
    let browser = Browser::open(1280);
    if browser.is_none() {
        // Straight to stderr: the test runner keeps what passing tests print.
        let said = "SKIPPED, the report was NOT tested in a browser: there is no chromedriver \
        (Debian: chromium-driver)";
        let mut stderr = std::io::stderr();
        writeln!(stderr, "{said}").unwrap();
    }
    browser
}

/// Gated blocks, strided and transposed convolutions, latents that are vectors and maps.
#[test]
fn the_explorer_draws_what_a_convolutional_model_draws() {
    let Some(desktop) = desktop() else { return };
    let run = Run::new();
    let path = run.path.display().to_string();
    let stages = "model.stages=[\
        {channels=4,kernels=[3],strides=[4],latent_channels=1,latent_kernel=3},\
        {channels=4,kernels=[3],latent_units=3}]";
    let sets = ["model.family=biva", stages, "data.train_images=96", "data.test_images=40"];
    let fixed = ["train", "--epochs", "3", "--batch-size", "32", "--threads", "1", "--out", &path];
    let sets = sets.into_iter().flat_map(|pair| ["--set", pair]);
    rung(&fixed.into_iter().chain(sets).collect::<Vec<_>>()).exits(0);
    desktop.show(&run.file("report.html"));
    assert_agrees(&desktop, &run);
    let layers = "return [...document.querySelectorAll('#ex-layers button')].map(e => \
        e.textContent)";
    assert_eq!(desktop.run(layers), json!(["z₁↑ (49)", "z₁↓ (49)", "z₂ (3)"]));
    // A code, its noise and the top-down pass lead to one another.
    let back = desktop.run(
        "const image = z => rungExplorer.descend(z, noise, 2); const code = rungExplorer.codes[1]; \
        const noise = rungExplorer.noiseOf(code); const given = rungExplorer.descend(code, noise, \
        0); return Math.max(...image([...code]).map((value, at) => Math.abs(value - given[at])))",
    );
    assert!(back.as_f64().unwrap() < 1e-5, "{back}");
    assert_eq!(desktop.complaints(), json!([]), "the console is silent");
}

/// An SDGM's class, and the component of a mixture at the top, are chosen beside the sliders.
#[test]
fn classes_and_components_are_chosen() {
    let Some(desktop) = desktop() else { return };
    let sdgm: &[&str] = &["model.family=sdgm", "model.hidden_sizes=[16]", "objective.labels=20"];
    let blocks = "model.blocks=[{channels=4,latent_channels=1,layers=1,stride=4}]";
    let mixture: &[&str] = &["model.family=matnet", "model.top_components=3", blocks];
    for (sets, options, layers) in
        [(sdgm, 10, json!(["a (100)", "z (100)"])), (mixture, 3, json!(["z₁ (49)", "z₂ (32)"]))]
    {
        let run = Run::new();
        let path = run.path.display().to_string();
        let fixed = ["train", "--epochs", "2", "--batch-size", "32", "--threads", "1"];
        let few = ["data.train_images=96", "data.test_images=40"];
        let sets = sets.iter().chain(&few).flat_map(|pair| ["--set", pair]);
        rung(&fixed.into_iter().chain(["--out", &path]).chain(sets).collect::<Vec<_>>()).exits(0);
        desktop.show(&run.file("report.html"));
        assert_agrees(&desktop, &run);
        let shown = "return [...document.querySelectorAll('#ex-layers button')].filter(e => \
            !e.hidden).map(e => e.textContent)";
        assert_eq!(desktop.run(shown), layers);
        let moved = desktop.run(
            "const image = () => document.getElementById('ex-image').toDataURL(); \
            const select = document.getElementById('ex-choice'); const before = image(); \
            select.value = (Number(select.value) + 1) % select.options.length; \
            select.dispatchEvent(new Event('input')); \
            return [select.options.length, before !== image()]",
        );
        assert_eq!(moved, json!([options, true]));
        assert_eq!(desktop.complaints(), json!([]), "the console is silent");
    }
}

#[test]
fn the_page_is_sound_and_its_explorer_agrees_with_the_program() {
    let run = Run::new();
    let Some(desktop) = desktop() else { return };
    // Three layers of several sizes, long enough for a network that is not its initial one.
    let sets = ["--set", "model.latent_sizes=[16,8,3]", "--set", "model.hidden_sizes=[48,24,12]"];
    rung(&run.train(6, &sets)).exits(0);
    let page = run.file("report.html");
    desktop.show(&page);
    let phone = Browser::open(390).unwrap();
    phone.show(&page);
    for (browser, width) in [(&desktop, 1280), (&phone, 390)] {
        let sizes = browser.run("return [innerWidth, document.documentElement.scrollWidth]");
        assert_eq!(sizes, json!([width, width]), "the page is as wide as the window");
        let hidden = "return [...document.querySelectorAll('figure svg, figure img')].filter(e => \
        !e.getBoundingClientRect().width).length";
        assert_eq!(browser.run(hidden), 0, "every figure is shown");
        assert_eq!(browser.run("return document.querySelectorAll('figure').length"), 10);
        assert_eq!(browser.complaints(), json!([]), "the console is silent");
    }
    assert_agrees(&desktop, &run);
    assert_reacts(&desktop);
    let background = "return getComputedStyle(document.body).backgroundColor";
    assert_eq!(desktop.run(background), "rgb(255, 255, 255)");
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    desktop
        .command("goog/cdp/execute", &json!({"cmd": "Emulation.setEmulatedMedia", "params": dark}));
    assert_eq!(desktop.run(background), "rgb(20, 23, 26)");
}

/// The browser's images from the noise of `rung sample` are those of `rung sample`, to less than a
/// grey level.
fn assert_agrees(browser: &Browser, run: &Run) {
    let claimed = browser
        .run("return Number(document.getElementById('explorer').dataset.difference)")
        .as_f64()
        .unwrap();
    assert!(claimed < 1.0 / 255.0, "the page itself says {claimed}");
    let png = run.file("check.png");
    let path = run.path.display().to_string();
    rung(&["sample", &path, "--count", "8", "--scale", "1", "--out", png.to_str().unwrap()])
        .exits(0);
    let drawn = image::open(&png).unwrap().into_luma8();
    let images = browser.run(
        "const {generate, choice, drawnNoise} = rungExplorer; return drawnNoise.map((noise, at) => \
        Array.from(generate(noise, choice?.drawn[at]).image))",
    );
    let mut lit = 0;
    for (index, image) in images.as_array().unwrap().iter().enumerate() {
        // Three columns of 28 pixels with a gap of one.
        let (left, top) = (index as u32 % 3 * 29, index as u32 / 3 * 29);
        for (at, pixel) in image.as_array().unwrap().iter().enumerate() {
            let grey = f64::from(drawn.get_pixel(left + at as u32 % 28, top + at as u32 / 28).0[0]);
            let difference = (pixel.as_f64().unwrap() * 255.0 - grey).abs();
            // The file's own rounding is half a level.
            assert!(
                difference < 0.5 + claimed * 255.0 + 1e-3,
                "image {index}, pixel {at}: {difference} levels"
            );
            lit += usize::from(grey > 64.0);
        }
    }
    assert!(lit > 100, "the images are not all black");
}

/// Moving a unit changes the image; a code leads back to its image's reconstruction whatever was
/// done before.
fn assert_reacts(browser: &Browser) {
    let image = "document.getElementById('ex-image').toDataURL()";
    let moved = browser.run(&format!(
        "const before = {image}; const slider = document.querySelector('#ex-sliders input'); \
        slider.value = slider.max; \
         slider.dispatchEvent(new Event('input')); return before !== {image}"
    ));
    assert_eq!(moved, json!(true), "a slider moves the image");
    let same = browser.run(&format!(
        "const code = document.querySelectorAll('#ex-codes button')[2]; code.click(); const before \
        = {image}; \
         document.getElementById('ex-all').click(); const between = {image}; code.click(); return \
         [before === {image}, before !== between]"
    ));
    assert_eq!(same, json!([true, true]), "a code always gives the same image");
    let layers = browser.run(
        "document.querySelector('#ex-layers button').click(); return \
    document.querySelectorAll('#ex-sliders input').length",
    );
    assert_eq!(layers, 16, "a slider for each unit of the first layer");
    let tip = browser.run(
        "const svg = document.querySelector('figure.lines > svg'); const box = \
        svg.getBoundingClientRect(); \
         svg.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + box.width * 0.6, \
         clientY: box.top + 50})); \
         return document.getElementById('tip').textContent",
    );
    assert!(tip.as_str().unwrap().contains("training, one sample: −"), "{tip}");
}
