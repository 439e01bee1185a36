//! The table of known data sets.
//!
//! A checksum stands here only if its source is known: the SHA-256 and sizes of downloads are those
//! that TensorFlow Datasets records for the publishers' files, OMNIGLOT's MD5 is the one published
//! with the loaders of its file, content checksums were computed from files whose download
//! checksums agree. Where none is known it says `None`.

use super::{Checksum, Download, Format, Known, KnownFile, Role};
use crate::norb::Cameras;
use crate::{Binarisation, ImageShape, cifar, moons, norb};

use Checksum::{Md5, Sha256};

const DIGITS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const FASHION: &[&str] = &[
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];
const SYLLABLES: &[&str] = &["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"];
const GREY_28: ImageShape = ImageShape::new(1, 28, 28);

/// A file that is published under its own name or with `.gz` behind it.
const fn file(
    name: &'static str,
    role: Role,
    download: &'static str,
    bytes: u64,
    sha256: &'static str,
    content: Option<Checksum>,
) -> KnownFile {
    let checksum = Some(Sha256(sha256));
    KnownFile {
        name,
        role,
        download: Some(Download { name: download, bytes: Some(bytes), checksum }),
        content,
    }
}

/// A file that has no download of its own.
const fn unpacked(name: &'static str, role: Role, content: Option<Checksum>) -> KnownFile {
    KnownFile { name, role, download: None, content }
}

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";
const TRAIN_IMAGES_GZ: &str = "train-images-idx3-ubyte.gz";
const TRAIN_LABELS_GZ: &str = "train-labels-idx1-ubyte.gz";
const TEST_IMAGES_GZ: &str = "t10k-images-idx3-ubyte.gz";
const TEST_LABELS_GZ: &str = "t10k-labels-idx1-ubyte.gz";

/// Small NORB's files.
#[rustfmt::skip] // a table
const NORB_FILES: &[KnownFile] = &[
    file("smallnorb-5x46789x9x18x6x2x96x96-training-dat.mat", Role::Train,
        "smallnorb-5x46789x9x18x6x2x96x96-training-dat.mat.gz", 131_896_188,
        "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873", None),
    file("smallnorb-5x46789x9x18x6x2x96x96-training-cat.mat", Role::Train,
        "smallnorb-5x46789x9x18x6x2x96x96-training-cat.mat.gz", 348,
        "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa", None),
    file("smallnorb-5x01235x9x18x6x2x96x96-testing-dat.mat", Role::Test,
        "smallnorb-5x01235x9x18x6x2x96x96-testing-dat.mat.gz", 130_799_817,
        "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474", None),
    file("smallnorb-5x01235x9x18x6x2x96x96-testing-cat.mat", Role::Test,
        "smallnorb-5x01235x9x18x6x2x96x96-testing-cat.mat.gz", 347,
        "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff", None),
];
#[rustfmt::skip] // a table
const SVHN_TRAIN: KnownFile = file("train_32x32.mat", Role::Train, "train_32x32.mat", 182_040_794,
    "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    Some(Sha256("435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8")));
#[rustfmt::skip]
const SVHN_TEST: KnownFile = file("test_32x32.mat", Role::Test, "test_32x32.mat", 64_275_384,
    "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    Some(Sha256("cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b")));

/// Every data set known by name.
#[rustfmt::skip] // a table
pub const KNOWN: &[Known] = &[
    Known {
        name: "glyphs",
        title: "Glyphs",
        folders: &[],
        format: Format::Glyphs,
        shape: GREY_28,
        train_count: 10_000,
        test_count: 2_000,
        class_names: DIGITS,
        binarisation: Binarisation::PerEpoch,
        files: &[],
        mirrors: &[],
        home: "drawn by the program",
        credit: "none needed",
        licence: "that of the program",
        notes: &[],
    },
    Known {
        name: "half-moons",
        title: "Half-moons (points in the plane, six labels)",
        folders: &[],
        format: Format::Moons,
        shape: moons::SHAPE,
        train_count: 10_000,
        test_count: 2_000,
        class_names: moons::CLASS_NAMES,
        binarisation: Binarisation::None,
        files: &[],
        mirrors: &[],
        home: "drawn by the program",
        credit: "none needed",
        licence: "that of the program",
        notes: &[],
    },
    Known {
        name: "mnist",
        title: "MNIST",
        folders: &["MNIST/raw", "MNIST"],
        format: Format::Idx,
        shape: GREY_28,
        train_count: 60_000,
        test_count: 10_000,
        class_names: DIGITS,
        binarisation: Binarisation::PerEpoch,
        files: &[
            file(TRAIN_IMAGES, Role::Train, TRAIN_IMAGES_GZ, 9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                Some(Sha256("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"))),
            file(TRAIN_LABELS, Role::Train, TRAIN_LABELS_GZ, 28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                Some(Sha256("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"))),
            file(TEST_IMAGES, Role::Test, TEST_IMAGES_GZ, 1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                Some(Sha256("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"))),
            file(TEST_LABELS, Role::Test, TEST_LABELS_GZ, 4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                Some(Sha256("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"))),
        ],
        mirrors: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ],
        home: "http://yann.lecun.com/exdb/mnist/",
        credit: "Y. LeCun, C. Cortes, C. J. C. Burges",
        licence: "usually stated as CC BY-SA 3.0; the official page names none",
        notes: &[],
    },
    Known {
        name: "fashion-mnist",
        title: "Fashion-MNIST",
        folders: &["FashionMNIST/raw", "fashion"],
        format: Format::Idx,
        shape: GREY_28,
        train_count: 60_000,
        test_count: 10_000,
        class_names: FASHION,
        binarisation: Binarisation::PerEpoch,
        files: &[
            file(TRAIN_IMAGES, Role::Train, TRAIN_IMAGES_GZ, 26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", None),
            file(TRAIN_LABELS, Role::Train, TRAIN_LABELS_GZ, 29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", None),
            file(TEST_IMAGES, Role::Test, TEST_IMAGES_GZ, 4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                Some(Sha256("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"))),
            file(TEST_LABELS, Role::Test, TEST_LABELS_GZ, 5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                Some(Sha256("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"))),
        ],
        mirrors: &[
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ],
        home: "https://github.com/zalandoresearch/fashion-mnist",
        credit: "H. Xiao, K. Rasul, R. Vollgraf (2017)",
        licence: "MIT, (c) 2017 Zalando SE",
        notes: &[],
    },
    Known {
        name: "kmnist",
        title: "Kuzushiji-MNIST",
        folders: &["KMNIST/raw"],
        format: Format::Idx,
        shape: GREY_28,
        train_count: 60_000,
        test_count: 10_000,
        class_names: SYLLABLES,
        binarisation: Binarisation::PerEpoch,
        files: &[
            file(TRAIN_IMAGES, Role::Train, TRAIN_IMAGES_GZ, 18_165_135,
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4", None),
            file(TRAIN_LABELS, Role::Train, TRAIN_LABELS_GZ, 29_497,
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17", None),
            file(TEST_IMAGES, Role::Test, TEST_IMAGES_GZ, 3_041_136,
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5", None),
            file(TEST_LABELS, Role::Test, TEST_LABELS_GZ, 5_120,
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c", None),
        ],
        mirrors: &[
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ],
        home: "https://github.com/rois-codh/kmnist",
        credit: "T. Clanuwat, M. Bober-Irizar, A. Kitamoto, A. Lamb, K. Yamamoto, D. Ha (2018)",
        licence: "CC BY-SA 4.0",
        notes: &[],
    },
    Known {
        name: "omniglot",
        title: "OMNIGLOT (28x28, Burda et al.)",
        folders: &["OMNIGLOT"],
        format: Format::Omniglot,
        shape: GREY_28,
        train_count: 24_345,
        test_count: 8_070,
        class_names: &[],
        binarisation: Binarisation::PerEpoch,
        files: &[
            KnownFile {
                name: "chardata.mat",
                role: Role::Both,
                download: Some(Download {
                    name: "chardata.mat",
                    bytes: None,
                    checksum: Some(Md5("21ecaf34373511aa7691cf2e0802aa3d")),
                }),
                content: Some(Md5("21ecaf34373511aa7691cf2e0802aa3d")),
            },
            unpacked("alphabets.txt", Role::Extra, None),
        ],
        mirrors: &["https://raw.githubusercontent.com/yburda/iwae/master/datasets/OMNIGLOT/"],
        home: "https://github.com/yburda/iwae",
        credit: "B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum (2015); 28x28 by Y. Burda et al.",
        licence: "MIT, (c) 2015 Brenden Lake",
        notes: &[],
    },
    Known {
        name: "omniglot-rebuilt",
        title: "OMNIGLOT (rebuilt)",
        folders: &[],
        format: Format::Omniglot,
        shape: GREY_28,
        train_count: 24_345,
        test_count: 8_070,
        class_names: &[],
        binarisation: Binarisation::PerEpoch,
        files: &[
            unpacked("chardata.mat", Role::Both,
                Some(Sha256("87a423b3db383bd8839e111b63bf8c35bce2a0cc2dc6cba75a375fd8ecf9f9b9"))),
            unpacked("alphabets.txt", Role::Extra,
                Some(Sha256("cdeeef15450b0126d08914371c18b41d1e415d2415d88d85f0d445e4e8d55b27"))),
        ],
        mirrors: &[],
        home: "https://github.com/brendenlake/omniglot",
        credit: "B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum (2015)",
        licence: "MIT, (c) 2015 Brenden Lake",
        notes: &["OMNIGLOT (rebuilt): own down-sampling and split; not comparable digit for digit \
        with published numbers"],
    },
    Known {
        name: "norb",
        title: "Small NORB (32x32)",
        folders: &["smallnorb", "small-norb"],
        format: Format::Norb(Cameras::Apart),
        shape: ImageShape::new(1, 32, 32),
        train_count: 48_600,
        test_count: 48_600,
        class_names: &norb::CLASS_NAMES,
        binarisation: Binarisation::None,
        files: NORB_FILES,
        mirrors: &["https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"],
        home: "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/",
        credit: "Y. LeCun, F. J. Huang, L. Bottou (2004)",
        licence: "for research purposes, as its page says",
        notes: &["both cameras of each stereo pair are used, as two images"],
    },
    Known {
        name: "norb-pairs",
        title: "Small NORB (stereo pairs, 32x64)",
        folders: &["norb", "smallnorb", "small-norb"],
        format: Format::Norb(Cameras::Beside),
        shape: ImageShape::new(1, 32, 64),
        train_count: 24_300,
        test_count: 24_300,
        class_names: &norb::CLASS_NAMES,
        binarisation: Binarisation::None,
        files: NORB_FILES,
        mirrors: &["https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"],
        home: "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/",
        credit: "Y. LeCun, F. J. Huang, L. Bottou (2004)",
        licence: "for research purposes, as its page says",
        notes: &["an image is a stereo pair, one camera beside the other"],
    },
    Known {
        name: "cifar-10",
        title: "CIFAR-10",
        folders: &["cifar10", "cifar-10-batches-bin"],
        format: Format::Cifar,
        shape: ImageShape::new(3, 32, 32),
        train_count: 50_000,
        test_count: 10_000,
        class_names: &cifar::CLASS_NAMES,
        binarisation: Binarisation::None,
        files: &[
            file("cifar-10-binary.tar.gz", Role::Archive, "cifar-10-binary.tar.gz", 170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", None),
            unpacked("data_batch_1.bin", Role::Train, None),
            unpacked("data_batch_2.bin", Role::Train, None),
            unpacked("data_batch_3.bin", Role::Train, None),
            unpacked("data_batch_4.bin", Role::Train, None),
            unpacked("data_batch_5.bin", Role::Train, None),
            unpacked("test_batch.bin", Role::Test, None),
        ],
        mirrors: &["https://www.cs.toronto.edu/~kriz/"],
        home: "https://www.cs.toronto.edu/~kriz/cifar.html",
        credit: "A. Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images",
        licence: "none stated by the authors",
        notes: &[],
    },
    Known {
        name: "svhn",
        title: "SVHN (cropped digits)",
        folders: &["SVHN"],
        format: Format::Svhn,
        shape: ImageShape::new(3, 32, 32),
        train_count: 73_257,
        test_count: 26_032,
        class_names: DIGITS,
        binarisation: Binarisation::None,
        files: &[
            SVHN_TRAIN,
            SVHN_TEST,
        ],
        mirrors: &["http://ufldl.stanford.edu/housenumbers/"],
        home: "http://ufldl.stanford.edu/housenumbers/",
        credit: "Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng (2011)",
        licence: "for non-commercial use, as its page says",
        notes: &[],
    },
    Known {
        name: "svhn-extra",
        title: "SVHN with its extra images",
        folders: &["svhn", "SVHN"],
        format: Format::Svhn,
        shape: ImageShape::new(3, 32, 32),
        train_count: 604_388,
        test_count: 26_032,
        class_names: DIGITS,
        binarisation: Binarisation::None,
        files: &[
            SVHN_TRAIN,
            file("extra_32x32.mat", Role::Train, "extra_32x32.mat", 1_329_278_602,
                "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
                Some(Sha256("a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3"))),
            SVHN_TEST,
        ],
        mirrors: &["http://ufldl.stanford.edu/housenumbers/"],
        home: "http://ufldl.stanford.edu/housenumbers/",
        credit: "Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng (2011)",
        licence: "for non-commercial use, as its page says",
        notes: &["the training images are followed by the extra ones, which are easier"],
    },
];
