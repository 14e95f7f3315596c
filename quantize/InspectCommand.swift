import ArgumentParser
import Container
import FoundationEssentials

struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Show what a .moe file is.",
        discussion: """
            Shape, recipe, provenance, formats and sizes by kind, what packing saves, bytes a token, and what \
            quantising lost. Only the index is read. --plot draws the relative error by layer and kind, with gnuplot.
            """)

    @Argument(help: ArgumentHelp("The file.", valueName: "model.moe"))
    var model: String

    @Flag(help: "Print JSON.")
    var json = false

    @Option(help: ArgumentHelp("Draw the errors into this file, which is replaced.", valueName: "file.png|.svg"))
    var plot: String?

    func validate() throws {
        if plot != nil, plotFormat == nil { throw ValidationError("--plot must name a .png or .svg file.") }
    }

    private var plotFormat: LossPlot.Format? {
        plot.flatMap { path in LossPlot.Format.allCases.first { path.hasSuffix("." + $0.rawValue) } }
    }

    func run() throws {
        do {
            let inspection = Inspection(try ContainerReader(path: model))
            if let plot, let plotFormat {
                guard !inspection.losses.isEmpty else { throw PlotError.nothingRecorded(model) }
                let title = "\(model.split(separator: "/").last ?? ""): what quantising lost"
                try LossPlot(inspection.losses, title: title, format: plotFormat).write(to: plot)
            }
            print(json ? try encoded(inspection) : inspection.text)
        } catch {
            throw Failure.report(error)
        }
    }

    private func encoded(_ inspection: Inspection) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(inspection), as: UTF8.self)
    }
}
