import ArgumentParser
import Checkpoint
import Container
import FoundationEssentials
import Quantizer

/// Which type each tensor gets.
struct RecipeOptions: ParsableArguments {
    @Option(help: "What most matrices become: int4, int8, bf16 or f32.")
    var type: ConversionType = .int4

    @Option(
        help: """
            With int4, what stays finer: balanced (the default; a token reads at most 10 % more than with pure), quality, \
            small, or pure, which is nothing.
            """)
    var recipe: BuiltInRecipe?

    @Flag(help: "The same as --recipe pure. The other types are pure anyway.")
    var pure = false

    @Option(
        name: .customLong("rule"),
        help: ArgumentHelp(
            "The type of the tensors whose names match, before the recipe's rules; the first that matches wins.",
            discussion: """
                Names are as --dry-run shows them, such as layers.3.attention.output or layers.3.experts.7.down, or the \
                checkpoint's own. In a pattern * stands for anything, ? for a character, {gate,up} for one of several and \
                {0-3} for a number in a range. Can be given more than once.
                """, valueName: "pattern=type"))
    var ownRules: [String] = []

    @Option(
        name: .customLong("rules"),
        help: ArgumentHelp(
            "A file of such rules, one a line, after those given here; # begins a comment.", valueName: "file"))
    var rulesFile: String?

    private static let rulesByteLimit = 64 << 10

    func validate() throws {
        if type != .int4, let recipe, recipe != .pure {
            throw ValidationError("--recipe \(recipe.rawValue) is for --type int4.")
        }
        if pure, let recipe, recipe != .pure { throw ValidationError("--pure and --recipe exclude each other.") }
    }

    private var chosenRecipe: BuiltInRecipe { pure || type != .int4 ? .pure : recipe ?? .balanced }

    /// - Throws: `QuantizerError` for rules that can't be followed, `CheckpointError` for a file that can't be read.
    func plan(for checkpoint: Checkpoint) throws -> FormatPlan {
        var own: [FormatRule] = []
        for rule in ownRules { own.append(try FormatRule(rule, place: "--rule")) }
        if let rulesFile {
            let text = String(
                decoding: try InputFile(path: rulesFile).allBytes(atMost: Self.rulesByteLimit), as: UTF8.self)
            own += try FormatRule.rules(inFile: text, path: rulesFile)
        }
        let recipe = chosenRecipe
        return try FormatPlan(
            checkpoint.configuration, own: own, recipe: recipe.rules(for: checkpoint.configuration, type: type),
            name: own.isEmpty ? recipe.rawValue : "\(recipe.rawValue) with rules", sourceNames: SourceNames(checkpoint))
    }
}

extension ConversionType: ExpressibleByArgument {}
extension BuiltInRecipe: ExpressibleByArgument {}
