# Homebrew formula of Rolecall. install/package.sh fills in the addresses and the checksum of the source tarball.
class Rolecall < Formula
  desc "Ssh-agent for Amazon EKS"
  homepage "@HOMEPAGE@"
  url "@URL@"
  version "@VERSION@"
  sha256 "@SHA256@"
  license "Apache-2.0"

  depends_on "rust" => :build

  def install
    programs = Utils.safe_popen_read("install/build.sh").lines(chomp: true)
    bin.install programs
    bin.install_symlink "rolecall" => "kubectl-rolecall"
    man1.install Dir["install/man/*.1"]
    man5.install Dir["install/man/*.5"]
    pkgshare.install "install/rolecall.schema.json"
    generate_completions_from_executable(bin/"rolecall", "completions", shells: [:bash, :zsh, :fish])
  end

  def caveats
    <<~EOS
      The client starts the daemon when it needs it. Next, type:
        rolecall add       (or rolecall import, if kubectl reaches EKS clusters already)
    EOS
  end

  test do
    assert_equal "rolecall #{version}", shell_output("#{bin}/rolecall --version").chomp
    assert_equal "rolecalld #{version}", shell_output("#{bin}/rolecalld --version").chomp
    ENV["HOME"] = testpath
    assert_match "no profiles", shell_output("#{bin}/rolecall list")
    system bin/"rolecall", "agent", "stop"
  end
end
