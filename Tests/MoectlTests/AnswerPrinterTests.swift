import API
import Synchronization
import Testing
import moectl

@Suite struct AnswerPrinterTests {
    private final class Page: Sendable {
        let text = Mutex("")
    }

    private func show(
        _ events: [AnswerEvent], style: AnswerPrinter.Style, reasoning: AnswerPrinter.Reasoning = .shown
    ) throws -> String {
        let page = Page()
        var printer = AnswerPrinter(style: style, reasoning: reasoning) { text in page.text.withLock { $0 += text } }
        for event in events { try printer.show(event) }
        try printer.finish()
        return page.text.withLock { $0 }
    }

    private static let thoughtful: [AnswerEvent] = [
        .prefill(processed: 5, total: 10), .reasoning("Let me "), .reasoning("see."), .content("\n\nYes"),
        .content("!"),
    ]

    @Test func pipeGetsTheTextAndNothingElse() throws {
        #expect(try show([.prefill(processed: 1, total: 2), .content("a\u{1B}[2J")], style: .raw) == "a\u{1B}[2J\n")
        #expect(try show(Self.thoughtful, style: .raw, reasoning: .hidden) == "\n\nYes!\n")
    }

    @Test func thinkingIsDimmedOnATerminal() throws {
        let shown = try show(Self.thoughtful, style: .styled)
        #expect(shown.contains("\u{1B}[2mLet me see.\u{1B}[0m\n\nYes!\n"))
        #expect(shown.contains("reading the prompt: 5 of 10 tokens (50 %)"))
    }

    @Test func noEscapesWhereTheyAreNotWanted() throws {
        let shown = try show(Self.thoughtful + [.content("\u{1B}]0;title\u{7}")], style: .plain)
        #expect(shown == "(thinking) Let me see.\n\nYes!␛]0;title␇\n")
    }

    @Test(arguments: ["\u{1B}[2J", "\u{9B}2J", "a\rb", "\u{8}", "\u{7F}", "\u{0}", "\u{85}"])
    func modelCannotDriveTheTerminal(text: String) throws {
        let shown = try show([.content(text)], style: .styled)
        let obeyed = shown.unicodeScalars.filter { $0.properties.generalCategory == .control && $0 != "\n" }
        #expect(obeyed.isEmpty)
    }

    @Test func stoppedThinkingLeavesNoColour() throws {
        #expect(try show([.reasoning("Hm")], style: .styled).hasSuffix("\u{1B}[0m\n"))
    }

    @Test func footerCountsAndSaysWhyTheAnswerEnded() throws {
        var printer = AnswerPrinter(style: .raw, reasoning: .shown) { _ in }
        #expect(printer.footer == nil)
        try printer.show(.content("a"))
        try printer.show(.finished(.length))
        try printer.show(.usage(Usage(promptTokens: 9, completionTokens: 1, reasoningTokens: 0)))
        #expect(printer.footer == "[1 tokens, prompt 9 tokens, cut at the token limit]")
        try printer.show(
            .lossy(
                LossyReport(
                    preferResident: 0.2, dropCold: 0.5, choiceCount: 200, substitutedCount: 50, droppedCount: 4)))
        #expect(printer.footer?.contains("25.0 % of experts substituted, 2.0 % left out") == true)
    }
}
