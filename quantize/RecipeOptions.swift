import ArgumentParser
import Checkpoint
import Compute
import Container
import FoundationEssentials
import Quantizer

/// Which type each tensor gets.
struct RecipeOptions: ParsableArguments {
    @Option(
        help: """
            What most matrices become: int4, int8, bf16 or f32; int4-linear and int4-nonlinear insist on one code table, \
            where int4 takes the better one for each matrix. int8+int4 stores every routed expert in two planes, one of 4 \
            bits and one that makes 8 of them, between which moed chooses by the memory there is; the rest becomes int8.
            """)
    var type: ConversionType = .int4

    @Option(
        help: """
            What stays finer, at int8 with int4 and at bf16 with int8: balanced (the default; a token reads at most 10 % \
            more than with pure), quality, small, or pure, which is nothing.
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

    @Option(
        help: ArgumentHelp(
            """
            Pick types for so many bits a weight by what each would lose, instead of --recipe; such as 4.75. Rules of your \
            own stay as they are, and the rest gets what they leave.
            """,
            valueName: "bits"))
    var targetBits: Double?

    private static let rulesByteLimit = 64 << 10

    func validate() throws {
        if BuiltInRecipe.standard(for: type) == .pure, let recipe, recipe != .pure {
            throw ValidationError("--recipe \(recipe.rawValue) is for --type int4 and int8.")
        }
        if let targetBits {
            guard targetBits > 0, targetBits <= 32 else {
                throw ValidationError("--target-bits must be from 4.5 to 32.")
            }
            if type != .int4 || recipe != nil || pure {
                throw ValidationError("--target-bits picks types itself, so --type, --recipe and --pure exclude it.")
            }
        }
        if pure, let recipe, recipe != .pure { throw ValidationError("--pure and --recipe exclude each other.") }
    }

    private var chosenRecipe: BuiltInRecipe { pure ? .pure : recipe ?? .standard(for: type) }

    /// - Throws: `QuantizerError` for rules that can't be followed, `CheckpointError` for a file that can't be read.
    func plan(
        for checkpoint: Checkpoint, importance: ImportanceMatrix?, threadCount: Int, cancellation: Cancellation
    ) throws -> FormatPlan {
        var own: [FormatRule] = []
        for rule in ownRules { own.append(try FormatRule(rule, place: "--rule")) }
        if let rulesFile {
            let text = String(
                decoding: try InputFile(path: rulesFile).allBytes(atMost: Self.rulesByteLimit), as: UTF8.self)
            own += try FormatRule.rules(inFile: text, path: rulesFile)
        }
        let sourceNames = SourceNames(checkpoint)
        if let targetBits {
            let picked = try TargetRecipe(
                checkpoint, targetBits: targetBits, fixed: FixedTypes(own, sourceNames: sourceNames),
                importance: importance, pool: ThreadPool(threadCount: threadCount), cancellation: cancellation)
            return try FormatPlan(
                checkpoint.configuration, own: own, recipe: picked.rules,
                name: own.isEmpty ? "target" : "target with rules", targetBits: targetBits, sourceNames: sourceNames)
        }
        let recipe = chosenRecipe
        return try FormatPlan(
            checkpoint.configuration, own: own, recipe: recipe.rules(for: checkpoint.configuration, type: type),
            name: own.isEmpty ? recipe.rawValue : "\(recipe.rawValue) with rules", sourceNames: sourceNames)
    }
}

extension ConversionType: ExpressibleByArgument {}
extension BuiltInRecipe: ExpressibleByArgument {}
