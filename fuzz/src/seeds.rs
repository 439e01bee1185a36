//! Writes the seeds of every format into a folder, one folder a format: small files that are well
//! formed, made by the project itself.
//!
//! The form is that of a fuzz target, for the instrumented libraries link with libFuzzer alone; the
//! work is done before the first input, of which `-runs=0` asks for none.
#![no_main]

use std::fs;
use std::io::Write;
use std::path::Path;

use rung_datasets::npy::{self, NpyArray, NpyValues};

/// A line of metrics with every kind of value, and an evaluation, as a training of a tiny ladder
/// writes them.
const RECORDS: &str = concat!(
    r#"{"step":10,"epoch":1,"epoch_s":0.02,"active_units":[6,3],"groups":["z_1","z_2"],"held_out_bound_1_nats":-532.9,"held_out_images":40,"held_out_kl_nats":[3.5,0.6],"held_out_kl_per_unit_nats":[[0.28,0.47],[0.2]],"held_out_log_p_x_nats":-528.8,"held_out_split":"test","held_out_standard_error_nats":1.0,"images_per_s":18434.7,"learning_rate":0.001,"train_bound_nats":-549.7,"train_kl_nats":[11.4,1.8],"train_log_p_x_nats":-536.4,"warmup":0.0}"#,
    "\n---\n",
    r#"{"step":10,"unix_s":1700000000,"active_units":[6,3],"binarisation":"dynamic","bits_per_dim":0.98,"bound_1_bits_per_dim":0.99,"bound_1_nats":-541.5,"bound_1_standard_error_nats":7.1,"bound_k_nats":-536.2,"checkpoint":"last","chosen_on":null,"data_set":"glyphs","effective_sample_size":1.14,"error_rate":null,"groups":["z_1","z_2"],"images":40,"images_in_split":40,"importance_samples":2,"kl_nats":[15.7,2.1],"kl_per_unit_nats":[[0.87,1.2],[0.7]],"log_p_nats":[-20.2,-5.7],"log_p_x_nats":-523.6,"log_q_nats":[-4.5,-3.6],"rows":1000,"seconds":0.007,"seed":1,"split":"test","standard_error_nats":5.2,"statistics":"exact"}"#,
    "\n"
);

libfuzzer_sys::fuzz_target!(
    init: {
        let corpus = std::env::var_os("RUNG_FUZZ_CORPUS").expect("the folder to write to");
        write_all(Path::new(&corpus));
    },
    |_data: &[u8]| {}
);

fn write_all(corpus: &Path) {
    #[cfg(feature = "program")]
    for (format, seeds) in rung_fuzz::seeds() {
        for (number, seed) in seeds.iter().enumerate() {
            write(corpus, format, &number.to_string(), seed);
        }
    }
    write(corpus, "report", "records", RECORDS.as_bytes());
    write(corpus, "preset", "value", b"\x05= 4294967296\n\x09=[1]\n\x02[data]");
    write(
        corpus,
        "config",
        "pairs",
        b"preset = 'mnist-vae-2'\n---\ntrain.epochs = 3\nmodel.family=vae",
    );

    let array = NpyArray { shape: vec![2, 3], values: NpyValues::F32(vec![0.0; 6]) };
    let at = corpus.join("npy-seed");
    npy::write(&at, &array).expect("room");
    let file = fs::read(&at).expect("the file");
    fs::remove_file(at).expect("the file");
    write(corpus, "npy", "plain", &[&[0], &file[..]].concat());
    write(corpus, "npy", "header", &[&[1, 0, 8, 2, 3, 0, 0], &[7; 6][..]].concat());
    let member = |name: u8, content: &[u8]| {
        [&[name], &(content.len() as u16).to_le_bytes()[..], content].concat()
    };
    let images = [&[0, 12, 4, 2, 2, 0][..], &[9; 16]].concat();
    let labels = [&[0, 4, 4, 0, 0, 0][..], &[0, 1, 0, 1]].concat();
    let parts = [member(0, &images), member(1, &labels), member(2, &images), member(3, &labels)];
    write(corpus, "npz", "parts", &parts.concat());
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("images.npy", options).expect("memory");
    zip.write_all(&file).expect("memory");
    write(corpus, "zip", "images", &zip.finish().expect("memory").into_inner());

    let idx = [&[0, 0, 8, 3], &[0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1][..], &[5, 6]].concat();
    write(corpus, "idx", "plain", &[&[0], &idx[..]].concat());
    let pair = [&[0, 18, 0], &idx[..], &[0, 0, 8, 1, 0, 0, 0, 2, 0, 1]].concat();
    write(corpus, "idx", "pair", &pair);
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let head = words(&[0x1E3D_4C55, 4, 1, 2, 96, 96]);
    let categories = words(&[0x1E3D_4C54, 1, 1, 1, 1, 0]);
    write(corpus, "norb", "pair", &[&[2, 24, 0], &head[..], &categories].concat());
    write(corpus, "cifar", "labels", &[0, 3, 9, 0]);
    write(corpus, "tar", "files", &[1, 0, 3, 1, 4, 2, 5, 3, 0]);
    // An array of bytes called X: flags, sizes, name, numbers.
    let matrix = [
        words(&[14, 56, 6, 8, 9, 0, 5, 8, 2, 2]),
        words(&[0x0001_0001]),
        b"X\0\0\0".to_vec(),
        words(&[0x0004_0002]),
        vec![1, 2, 3, 4],
    ];
    let matrix = matrix.concat();
    let length = (matrix.len() as u16).to_le_bytes();
    write(corpus, "mat", "packed", &[&[1], &length[..], &matrix].concat());
    let header = [vec![b' '; 124], vec![0, 1, b'I', b'M']].concat();
    write(corpus, "mat", "plain", &[&[0], &header[..], &matrix].concat());

    for (kind, extension) in [(0u8, "png"), (1, "jpg"), (2, "png")] {
        let grey = image::GrayImage::from_fn(6, 4, |x, y| image::Luma([(40 * x + 9 * y) as u8]));
        let path = corpus.join(format!("seed.{extension}"));
        match kind {
            2 => image::DynamicImage::from(grey).into_rgba16().save(&path).expect("room"),
            _ => grey.save(&path).expect("room"),
        }
        let bytes = fs::read(&path).expect("the file");
        fs::remove_file(path).expect("the file");
        write(corpus, "picture", &format!("{kind}.{extension}"), &[&[kind], &bytes[..]].concat());
    }
}

fn write(corpus: &Path, format: &str, name: &str, seed: &[u8]) {
    let folder = corpus.join(format);
    fs::create_dir_all(&folder).expect("room for the seeds");
    fs::write(folder.join(format!("seed-{name}")), seed).expect("room for the seeds");
}
