import ArgumentParser
import Glibc

/// Talks to a `moed` on this machine through its socket.
@main
struct Moectl: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "moectl",
        abstract: "Talk to moed, the daemon that runs language models on this machine.",
        discussion: """
            Exit codes: 0 done, 64 wrong usage, 65 the daemon refused the request, 69 no daemon answers, 70 the daemon \
            failed, 74 input or output failed, 75 the daemon is busy (try again), 76 its answer isn't understood, \
            77 no permission, 130 interrupted.
            """,
        subcommands: [ChatCommand.self, RunCommand.self, StatusCommand.self, ModelsCommand.self, ExpertsCommand.self])

    static func main() async {
        // A reader that goes away is an error of its write, not a silent death in the middle of a sequence.
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let error as ClientError {
            Self.exit(reporting: error)
        } catch {
            Self.exit(withError: error)
        }
    }

    private static func exit(reporting error: ClientError) -> Never {
        if error.code != .brokenPipe {
            let text = "moectl: \(error.description)\n"
            try? OutputStream.error.write(isatty(STDERR_FILENO) == 1 ? TerminalText.neutralized(text) : text)
        }
        Glibc.exit(error.code.rawValue)
    }
}
