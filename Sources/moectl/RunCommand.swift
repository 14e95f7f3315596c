import ArgumentParser
import Glibc
import NIOPosix

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Answer one prompt.",
        discussion: """
            Standard input, unless it is a terminal, is read to its end and appended to the prompt, or is the prompt \
            where none is given. The answer goes to standard output as it is made; the model's thinking is shown on a \
            terminal only.
            """)

    @Argument(help: "What to say to the model.")
    var prompt: String?

    @OptionGroup var daemon: DaemonOptions
    @OptionGroup var conversation: ConversationOptions
    @OptionGroup var sampling: SamplingOptions

    @Flag(help: "Print the daemon's whole answer as one JSON object instead.")
    var json = false

    @Flag(help: "Print token counts and speed to standard error afterwards.")
    var stats = false

    func run() async throws {
        let terminal = Terminal.current()
        let text = try await wholePrompt(terminal)
        let client = daemon.client
        var request = conversation.conversation.request(
            model: try await conversation.modelName(client), prompt: text)
        sampling.apply(to: &request)
        if json {
            try OutputStream.output.write(await client.wholeAnswer(request) + [UInt8(ascii: "\n")])
            return
        }
        var printer = AnswerPrinter(
            style: terminal.answerStyle, reasoning: terminal.outputIsInteractive ? .shown : .hidden
        ) { try OutputStream.output.write($0) }
        do {
            try await client.streamAnswer(request) { try printer.show($0) }
        } catch {
            try printer.finish()
            throw error
        }
        try printer.finish()
        if stats, let footer = printer.footer { try OutputStream.error.write("\(footer)\n") }
    }

    private func wholePrompt(_ terminal: Terminal) async throws -> String {
        var parts = prompt.map { [$0] } ?? []
        if !terminal.inputIsInteractive {
            let input = try await NIOThreadPool.singleton.runIfActive { try StandardInput.readAll() }
            if !input.allSatisfy(\.isWhitespace) { parts.append(input) }
        }
        guard !parts.isEmpty else {
            throw ClientError(
                .usage, "there is no prompt", advice: "Give one as an argument or on standard input: moectl run \"…\"")
        }
        return parts.joined(separator: "\n\n")
    }
}

enum StandardInput {
    /// More than any model's context, and less than what would fill a small device's memory.
    static let limit = 8 << 20

    static func readAll() throws(ClientError) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(STDIN_FILENO, &buffer, buffer.count)
            if count > 0 {
                bytes += buffer.prefix(count)
            } else if count == 0 {
                return String(decoding: bytes, as: UTF8.self)
            } else if errno == EBADF {
                return ""
            } else if errno != EINTR {
                throw ClientError(.inputOutput, "reading standard input failed: \(String(cString: strerror(errno)))")
            }
            guard bytes.count <= limit else {
                throw ClientError(
                    .usage, "standard input is longer than the \(limit >> 20) MiB that a request may have")
            }
        }
    }
}

extension Terminal {
    /// How an answer on standard output may look.
    var answerStyle: AnswerPrinter.Style {
        outputIsInteractive ? (allowsEscapes ? .styled : .plain) : .raw
    }
}
