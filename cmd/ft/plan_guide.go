package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ftlab/ftlib/plan"
	"ftlab/ftlib/tune"
)

func planGuideCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "guide",
		Short: "The guide's tables beside what the planner says",
		Long: `guide prints every figure of the guide that the course follows, what the planner says
of it, and whether the two agree. --markdown prints docs/memory.md.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if on, _ := cmd.Flags().GetBool("markdown"); on {
				text, err := plan.Markdown()
				if err == nil {
					_, err = fmt.Fprint(cmd.OutOrStdout(), text)
				}
				return err
			}
			verdicts, err := plan.Compare(plan.Guide())
			if err != nil {
				return err
			}
			if wantJSON(cmd) {
				return printJSON(cmd, verdicts)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			section := ""
			for _, v := range verdicts {
				if v.Claim.Section != section {
					section = v.Claim.Section
					fmt.Fprintf(t, "%s\t\t\n", section)
				}
				fmt.Fprintf(t, "  %s\t%s\t%s\n", v.Claim.Text, v.Verdict, v.Ours)
			}
			return t.Flush()
		},
	}
	cmd.Flags().Bool("markdown", false, "print docs/memory.md")
	return cmd
}

func planBudgetCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "budget DOLLARS [DEVICE]...",
		Short:   "What an amount of money a month buys",
		Long:    "budget says how many hours of each device the money buys, which models fit, and how many rows of 512 tokens that trains.",
		Example: "  ft plan budget 100\n  ft plan budget 500 a100 h100",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dollars, err := strconv.ParseFloat(args[0], 64)
			if err != nil || dollars < 0 {
				return usageErrorf("%q is no amount of dollars", args[0])
			}
			names := args[1:]
			table := plan.KnownDevices()
			if len(names) == 0 {
				for _, d := range table.Devices {
					names = append(names, d.Name)
				}
			}
			var lines []plan.BudgetLine
			for _, name := range names {
				b, err := plan.Budget(dollars, name)
				if err != nil {
					return withCode(exitUsage, err)
				}
				lines = append(lines, b)
			}
			if wantJSON(cmd) {
				return printJSON(cmd, lines)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "device\thours a month\tlargest model and rows of 512 tokens")
			for _, b := range lines {
				var fits []string
				for i, f := range b.Fits {
					fits = append(fits, f+" ("+b.Rows[i]+")")
				}
				hours := fmt.Sprintf("%.0f", b.Hours)
				if b.Device.Price == 0 {
					hours += " (your own)"
				}
				fmt.Fprintf(t, "%s\t%s\t%s\n", b.Device.Title, hours, strings.Join(fits, "; "))
			}
			fmt.Fprintf(t, "\nprices: %s, %s\n", table.PricesSource, table.PricesDate)
			return t.Flush()
		},
	}
}

func planChooseCmd() *cobra.Command {
	var a plan.Answers
	var out string
	cmd := &cobra.Command{
		Use:   "choose",
		Short: "The decision tree: from a goal to a run file",
		Long: `choose follows the decision tree from what is wanted to a method and a run file that fits the
device. In a notebook, notebook.Choose() asks the same questions.`,
		Example: "  ft plan choose --goal knowledge --model 7b --device rtx3060\n  ft plan choose --goal preferences --feedback pairs --out run.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := decideHere(a)
			if err != nil {
				return withCode(exitUsage, err)
			}
			if out != "" {
				if err := writeNew(out, []byte(d.YAML)); err != nil {
					return err
				}
			}
			if wantJSON(cmd) {
				return printJSON(cmd, d)
			}
			for _, p := range d.Path {
				fmt.Fprintln(cmd.OutOrStdout(), "- "+p)
			}
			if out == "" {
				fmt.Fprintf(cmd.OutOrStdout(), "\n%s", d.YAML)
			}
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&a.Goal, "goal", "knowledge", "knowledge, preferences, reasoning or clients")
	fl.StringVar(&a.Feedback, "feedback", "", "of preferences: pairs, votes or team (default pairs)")
	fl.StringVar(&a.Check, "check", "", "of reasoning: answers, code or steps (default answers)")
	fl.StringVar(&a.Best, "best", "", "of clients: quality or memory (default quality)")
	fl.StringVar(&a.Model, "model", "7b", "model directory, name or size")
	fl.StringVar(&a.Device, "device", "", "rtx3060, a100 ... (default: this machine)")
	fl.StringVar(&a.Data, "data", "", "training data (default: the teaching data of the method)")
	fl.IntVar(&a.Length, "length", 0, "tokens of the longest row (default 1024)")
	fl.StringVar(&out, "out", "", "write the run to this file")
	return cmd
}

// decideHere follows the tree; without a device it is for this machine.
func decideHere(a plan.Answers) (plan.Decision, error) {
	for _, q := range plan.Questions(a)[1:] {
		if a.Of(q.Key) == "" {
			a = a.With(q.Key, q.Options[0].Value)
		}
	}
	if a.Device != "" {
		return plan.Decide(a)
	}
	shape, err := plan.FindShape(a.Model)
	if err != nil {
		return plan.Decision{}, err
	}
	return plan.DecideOn(a, shape, tune.ThisDevice(""))
}
