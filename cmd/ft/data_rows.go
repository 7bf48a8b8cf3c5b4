package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
)

// dataRowsCmd is what cells, which are built without large libraries, let ft do.
func dataRowsCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "rows", Short: "Read and write rows for a cell", Hidden: true}
	cmd.AddCommand(
		&cobra.Command{Use: "read FILE", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			return corpus.EncodeRows(cmd.OutOrStdout(), corpus.ReadParquet(args[0]))
		}},
		&cobra.Command{Use: "write FILE", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			var rows []corpus.Row // a parquet file's schema is found first: the rows are needed twice
			for row, err := range corpus.DecodeRows(cmd.InOrStdin()) {
				if err != nil {
					return err
				}
				rows = append(rows, row)
			}
			return corpus.WriteRows(args[0], func(yield func(corpus.Row, error) bool) {
				for _, row := range rows {
					if !yield(row, nil) {
						return
					}
				}
			})
		}},
		&cobra.Command{Use: "classes FILE COLUMN", Args: cobra.ExactArgs(2), RunE: func(cmd *cobra.Command, args []string) error {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(corpus.ClassNames(args[0], args[1]))
		}},
		&cobra.Command{Use: "fetch model|dataset NAME REVISION CACHE", Args: cobra.ExactArgs(4), RunE: func(_ *cobra.Command, args []string) error {
			switch args[0] {
			case "model":
				return llm.FetchModel(args[1], args[2], args[3])
			case "dataset":
				return corpus.FetchDataset(args[1], args[2], args[3])
			}
			return fmt.Errorf("%q is neither model nor dataset", args[0])
		}},
	)
	return cmd
}
