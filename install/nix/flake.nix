# Nix flake of Rolecall: nix build '.?dir=install/nix' in the repository.
{
  description = "Rolecall, ssh-agent for Amazon EKS";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable"; # Rust 1.95 or later

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      source = ../..;
      manifest = (builtins.fromTOML (builtins.readFile (source + "/Cargo.toml"))).workspace.package;
      rolecall =
        pkgs:
        pkgs.rustPlatform.buildRustPackage {
          pname = "rolecall";
          version = manifest.version;
          src = source;
          cargoLock.lockFile = source + "/Cargo.lock";
          nativeBuildInputs = [ pkgs.installShellFiles ];
          # Both programs in one build. glibc of Nix has no static library, so the client is dynamic here.
          cargoBuildFlags = [
            "--package=rolecall"
            "--package=rolecalld"
          ];
          # The tests need programs from outside, see tests/run.
          doCheck = false;
          postInstall = ''
            ln -s rolecall $out/bin/kubectl-rolecall
            installManPage install/man/*.[15]
            install -Dm644 -t $out/share/rolecall install/rolecall.schema.json
            installShellCompletion --cmd rolecall \
              --bash <($out/bin/rolecall completions bash) \
              --zsh <($out/bin/rolecall completions zsh) \
              --fish <($out/bin/rolecall completions fish)
            install -Dm644 -t $out/lib/systemd/user install/systemd/rolecalld.socket
            substitute install/systemd/rolecalld.service $out/lib/systemd/user/rolecalld.service \
              --replace-fail /usr/bin/ $out/bin/
          '';
          meta = {
            description = "ssh-agent for Amazon EKS";
            license = pkgs.lib.licenses.asl20;
            mainProgram = "rolecall";
            platforms = systems;
          };
        };
    in
    {
      packages = nixpkgs.lib.genAttrs systems (system: {
        default = rolecall nixpkgs.legacyPackages.${system};
      });
    };
}
