//! A real PKCS #11 module, `SoftHSM2`, with a token in a folder; and the same module behind a layer that fails as it is told.

use std::path::{Path, PathBuf};

use super::process::run;

/// The PIN of a token's user.
pub(crate) const PIN: &str = "canary-pin-1";

/// A module with tokens in the folder that is its user's home.
pub(crate) struct SoftHsm {
    home: PathBuf,
}

impl SoftHsm {
    /// One token `strongroom` with the keys `root` and `other`.
    pub(crate) fn new(home: &Path) -> Self {
        Self::with_root(home, 7)
    }

    /// The same; `root` is made of this byte.
    pub(crate) fn with_root(home: &Path, byte: u8) -> Self {
        let made = Self { home: home.to_owned() };
        let settings = home.join(".config/softhsm2");
        std::fs::create_dir_all(&settings).unwrap();
        std::fs::create_dir_all(made.tokens()).unwrap();
        let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", made.tokens().display());
        std::fs::write(settings.join("softhsm2.conf"), text).unwrap();
        made.util(&["--init-token", "--free", "--label", "strongroom", "--so-pin", "so-pin-1", "--pin", PIN]);
        for (label, id, byte) in [("root", "01", byte), ("other", "02", 8)] {
            made.add_key(label, id, byte);
        }
        made
    }

    /// Puts an AES key into the token.
    pub(crate) fn add_key(&self, label: &str, id: &str, byte: u8) {
        let file = self.home.join("key.bin");
        std::fs::write(&file, [byte; 32]).unwrap();
        let file = file.to_str().unwrap();
        self.util(&["--import", file, "--aes", "--token", "strongroom", "--pin", PIN, "--label", label, "--id", id, "--force"]);
    }

    /// Where its tokens are.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.home.join("tokens")
    }

    /// The number of the slot that its token is in.
    pub(crate) fn slot(&self) -> String {
        let shown = self.util(&["--show-slots"]);
        shown.lines().find_map(|line| line.strip_prefix("Slot ")).unwrap().trim().to_owned()
    }

    fn util(&self, arguments: &[&str]) -> String {
        let home = [("HOME".to_owned(), self.home.display().to_string())];
        let done = run(Path::new("softhsm2-util"), arguments, &home, None);
        assert_eq!(done.code, 0, "softhsm2-util (scripts/test --install installs it): {}{}", done.stdout, done.stderr);
        done.stdout
    }
}

/// The module.
pub(crate) fn library() -> PathBuf {
    let known = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"];
    let found = known.iter().map(PathBuf::from).find(|path| path.exists());
    assert!(found.is_some(), "libsofthsm2.so is missing; install it with: scripts/test --install");
    found.unwrap()
}

/// The same module with a layer around it, whose decryptions do what a file says: nothing is in it, or the code to return, or
/// `hang`. The library, and the file.
pub(crate) fn unreliable(folder: &Path) -> (PathBuf, PathBuf) {
    let (source, made, control) = (folder.join("layer.c"), folder.join("layer.so"), folder.join("layer.control"));
    std::fs::write(&source, include_str!("layer.c")).unwrap();
    std::fs::write(&control, "").unwrap();
    let [real, control_path] = [library().display().to_string(), control.display().to_string()].map(|path| format!("{path:?}"));
    let arguments = [
        "-shared",
        "-fPIC",
        &format!("-DREAL={real}"),
        &format!("-DCONTROL={control_path}"),
        "-o",
        made.to_str().unwrap(),
        source.to_str().unwrap(),
        "-ldl",
    ];
    let done = run(Path::new("cc"), &arguments, &[], None);
    assert_eq!(done.code, 0, "{}", done.stderr);
    (made, control)
}
