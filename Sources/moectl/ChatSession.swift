import NIOPosix

/// One conversation between a person and the model.
final class ChatSession {
    private let client: DaemonClient
    private let model: String
    private let sampling: SamplingOptions
    private let terminal: Terminal
    private let reader: LineReader
    private let isInteractive: Bool
    private var conversation: Conversation
    private var history: History
    private var composer = MessageComposer()
    private var wasJustInterrupted = false

    init(
        client: DaemonClient, model: String, conversation: Conversation, sampling: SamplingOptions, terminal: Terminal
    ) {
        self.client = client
        self.model = model
        self.conversation = conversation
        self.sampling = sampling
        self.terminal = terminal
        reader = LineReader(terminal: terminal)
        isInteractive = terminal.inputIsInteractive && terminal.outputIsInteractive
        history = History(path: isInteractive ? History.defaultPath(environment: environmentValue) : nil)
    }

    /// Returns when the person leaves. Without a terminal the first failure ends it, so that a script notices.
    func run() async throws {
        if reader.editsLines { InterruptSignal.ignoreBetweenAnswers() }
        if isInteractive { try say("\(model) listens. /help lists what else you can type; Ctrl-D leaves.") }
        while let message = try await nextMessage() {
            if let command = SlashCommand(message) {
                guard try perform(command) else { return }
            } else if !message.allSatisfy(\.isWhitespace) {
                try await reader.withoutEcho { try await answer(message) }
            }
        }
    }

    /// nil when the person leaves.
    private func nextMessage() async throws -> String? {
        while true {
            switch try await nextInput() {
            case .line(let line):
                wasJustInterrupted = false
                guard let message = composer.append(line) else { continue }
                if isInteractive { history.append(message) }
                return message
            case .endOfInput: return composer.finish()
            case .interrupted(let wasEmpty):
                let leaves = wasEmpty && wasJustInterrupted && !composer.isIncomplete
                guard !leaves else { return nil }
                composer = MessageComposer()
                wasJustInterrupted = wasEmpty
                if wasEmpty { try say("Ctrl-C once more, or Ctrl-D, leaves.") }
            }
        }
    }

    private func nextInput() async throws -> LineReader.Input {
        let prompt = composer.isIncomplete ? "... " : ">>> "
        let (reader, entries) = (reader, history.entries)
        return try await NIOThreadPool.singleton.runIfActive {
            try reader.read(prompt: prompt, history: entries)
        }
    }

    /// False when the person leaves.
    private func perform(_ command: SlashCommand) throws -> Bool {
        switch command {
        case .help: try say(SlashCommand.summary)
        case .clear:
            conversation.clear()
            try say("A new conversation.")
        case .system(nil): try say(conversation.systemPrompt ?? "There is no system prompt.")
        case .system(let text?):
            conversation.systemPrompt = text.isEmpty ? nil : text
            try say(text.isEmpty ? "The system prompt is removed." : "The system prompt is set.")
        case .think(let thinks):
            conversation.thinks = thinks ?? conversation.thinks
            switch conversation.thinks {
            case true?: try say("The model thinks before it answers.")
            case false?: try say("The model answers at once.")
            case nil: try say("Whether the model thinks is left to the daemon.")
            }
        case .exit: return false
        case .invalid(let complaint): try say(complaint)
        }
        return true
    }

    /// Shows the answer to `prompt`, and remembers both when it is complete or was stopped by the person.
    private func answer(_ prompt: String) async throws {
        var request = conversation.request(model: model, prompt: prompt)
        sampling.apply(to: &request)
        let (client, style) = (client, terminal.answerStyle)
        var (answer, wasInterrupted) = await InterruptSignal.cancelling { [request] in
            var printer = AnswerPrinter(style: style, reasoning: .shown) { try OutputStream.output.write($0) }
            do {
                try await client.streamAnswer(request) { try printer.show($0) }
                return Answer(printer: printer, failure: nil)
            } catch {
                return Answer(printer: printer, failure: error)
            }
        }
        try answer.printer.finish()
        if wasInterrupted, answer.failure != nil {
            guard isInteractive else { throw ClientError(.interrupted, "interrupted") }
            try say("[stopped]")
        } else if let failure = answer.failure {
            guard isInteractive, let error = failure as? ClientError, error.code != .brokenPipe else { throw failure }
            try say(error.description)
            return
        } else if isInteractive, let footer = answer.printer.footer {
            try say(footer)
        }
        conversation.appendExchange(prompt: prompt, answer: answer.printer.content)
    }

    private struct Answer: Sendable {
        var printer: AnswerPrinter
        var failure: (any Error)?
    }

    /// A remark of the program's own, apart from the model's words.
    private func say(_ text: String) throws {
        let shown = TerminalText.neutralized(text)
        try OutputStream.output.write(
            terminal.answerStyle == .styled ? "\(Escape.dim)\(shown)\(Escape.reset)\n" : "\(shown)\n")
    }
}
